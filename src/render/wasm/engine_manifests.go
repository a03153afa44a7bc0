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
		Directory: r.Path,
		Suffixes:  []string{".yaml", ".yml", ".json"},
		Names:     []string{"Kustomization"},
		Recurse:   r.Recurse,
	})
	texts := make([]text, 0, len(found))
	for _, f := range found {
		if engine, isOther := otherEngines[path.Base(f.path)]; isOther {
			directory := path.Dir(f.path)
			advice := fmt.Sprintf("point an application at %s, or at a directory without it", clip(directory))
			if directory == r.Path {
				advice = "leave render.manifests out, so that " + engine + " is used, or remove the file"
			}
			sink.add(ruleError{Code: codeEngine, Rule: "other-engine", File: f.path, Line: 1,
				Message: fmt.Sprintf("this directory is for %s, and the application reads plain manifests; %s", engine, advice)})
			return nil
		}
		if e, encrypted := encryptedFile(f.path, f.bytes); encrypted {
			sink.add(e)
			continue
		}
		texts = append(texts, text{name: f.path, bytes: f.bytes})
	}
	return texts
}
