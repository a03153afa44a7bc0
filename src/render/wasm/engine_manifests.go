package main

import (
	"fmt"
	"path"
)

// manifests is the engine for plain files: every .yaml, .yml and .json, in the order of their paths.
type manifests struct{}

// otherEngines are the files by which a directory says that it is meant for another engine.
var otherEngines = map[string]string{
	"kustomization.yaml": "Kustomize",
	"kustomization.yml":  "Kustomize",
	"Kustomization":      "Kustomize",
	"Chart.yaml":         "Helm",
}

func (manifests) run(files *fileSet, r *request, sink *errorSink) []text {
	found := files.list(listing{
		Suffixes: []string{".yaml", ".yml", ".json"},
		Names:    []string{"Kustomization"},
		Recurse:  r.Recurse,
	})
	texts := make([]text, 0, len(found))
	for _, f := range found {
		if engine, isOther := otherEngines[path.Base(f.path)]; isOther {
			sink.add(ruleError{Code: codeEngine, Rule: "engine-unavailable", File: f.path, Line: 1,
				Message: fmt.Sprintf("this directory is for %s, which is not available yet; point the application at plain manifests", engine)})
			return nil
		}
		texts = append(texts, text{f.path, f.bytes})
	}
	return texts
}
