package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// request is what the child process hands in, next to the bytes of the files.
type request struct {
	Engine           string           `json:"engine"`
	Recurse          bool             `json:"recurse"`
	Substitute       bool             `json:"substitute"`
	Cluster          clusterVariables `json:"cluster"`
	DefaultNamespace string           `json:"defaultNamespace"`
	SensitiveKinds   []groupKind      `json:"sensitiveKinds"`
	HasRecipients    bool             `json:"hasRecipients"`
	Files            []fileHeader     `json:"files"`
}

type fileHeader struct {
	Path  string `json:"path"`
	Bytes int    `json:"bytes"`
}

// result precedes the bodies: for each object its canonical bytes and then, if it is sensitive, the redacted ones.
type result struct {
	Errors  []ruleError    `json:"errors"`
	Objects []objectHeader `json:"objects"`
	ReadSet readSet        `json:"readSet"`
}

type objectHeader struct {
	ID            objectID `json:"id"`
	Scope         string   `json:"scope"`
	Stage         string   `json:"stage"`
	Wave          int      `json:"wave"`
	Source        source   `json:"source"`
	Sensitive     bool     `json:"sensitive"`
	BodyBytes     int      `json:"bodyBytes"`
	RedactedBytes int      `json:"redactedBytes"`
}

type source struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

type readSet struct {
	Files     []string  `json:"files"`
	Listed    []listing `json:"listed"`
	Variables []string  `json:"variables"`
	// Clock says that an engine let the input read the time.
	Clock bool `json:"clock"`
	// HasSecrets says that the output depends on the recipients.
	HasSecrets bool `json:"hasSecrets"`
}

// render is the whole of it: a pure function of the request and the files (clock and randomness come from the host).
func render(r *request, files []file, at func(name string, line int)) (result, []*object) {
	sink := &errorSink{}
	set := &fileSet{files: files}
	used := map[string]bool{}
	objects := collect(r, set, sink, used, at)
	if sink.count() == 0 {
		objects = finish(r, objects, sink)
	}
	if sink.count() > 0 {
		objects = nil
	}
	out := result{Errors: sink.all(), Objects: make([]objectHeader, 0, len(objects))}
	out.ReadSet = readSet{Files: set.read, Listed: set.listed, Variables: sortedKeys(used)}
	for _, o := range objects {
		out.ReadSet.HasSecrets = out.ReadSet.HasSecrets || o.sensitive
		out.Objects = append(out.Objects, objectHeader{
			ID: o.id, Scope: o.scope, Stage: o.stage, Wave: o.wave, Source: source{o.file, o.line},
			Sensitive: o.sensitive, BodyBytes: len(o.body), RedactedBytes: len(o.redacted),
		})
	}
	return out, objects
}

// collect parses and identifies every object, one after another.
func collect(r *request, set *fileSet, sink *errorSink, used map[string]bool, at func(name string, line int)) []*object {
	chosen, ok := engines[r.Engine]
	if !ok {
		sink.add(ruleError{Code: codeEngine, Rule: "engine-unavailable", Message: "there is no engine " + quote(r.Engine)})
		return nil
	}
	p := &parser{sink: sink, used: used, at: at}
	if r.Substitute {
		p.cluster = &r.Cluster
	}
	var objects []*object
	for _, t := range chosen.run(set, r, sink) {
		for _, d := range p.parse(t) {
			for _, o := range flatten(sink, &object{value: d.value, node: d.node, file: d.file, line: d.node.Line}, 0, nil) {
				if identify(sink, o) {
					checkMetadata(sink, o)
					objects = append(objects, o)
				}
			}
			if len(objects) > maxObjects {
				sink.add(ruleError{Code: codeLimit, Rule: "object-count", File: t.name, Limit: maxObjects,
					Message: fmt.Sprintf("more than %d objects; split the application", maxObjects)})
				return nil
			}
		}
	}
	return objects
}

// finish gives every object its scope, namespace, stage and bytes, and orders the bundle.
func finish(r *request, objects []*object, sink *errorSink) []*object {
	declared := scopesOf(objects)
	total := 0
	for _, o := range objects {
		o.scope = scopeOf(o.id, declared)
		place(r, o)
		o.stage = stageOf(o.id)
		o.sensitive = isSensitive(r, o.id)
		switch {
		case isSecret(o.id):
			foldSecret(sink, o)
		case o.id.Group == "" && o.id.Kind == "ConfigMap":
			checkConfigMap(sink, o)
		}
		if o.sensitive && !r.HasRecipients {
			o.failWith(sink, ruleError{Code: codeNoRecipient, Rule: "no-recipient",
				Message: "the object is secret and no cluster has registered a sealing key to receive it; enrol the cluster first"})
			continue
		}
		encode(o, sink)
		if total += len(o.body) + len(o.redacted); total > maxOutputBytes {
			o.failWith(sink, ruleError{Code: codeLimit, Rule: "output-size", Limit: maxOutputBytes,
				Message: fmt.Sprintf("all objects together are longer than %d bytes; split the application", maxOutputBytes)})
			return nil
		}
		o.value = nil
	}
	refuseDuplicates(objects, sink)
	slices.SortFunc(objects, compareObjects)
	return objects
}

// place settles the namespace as the API server would: none on a cluster-scoped object, the default on a namespaced one
// that names none. What is neither stays as written, for the agent to settle after discovery.
func place(r *request, o *object) {
	metadata := o.value["metadata"].(map[string]any)
	switch {
	case o.scope == scopeCluster:
		delete(metadata, "namespace")
		o.id.Namespace = ""
	case o.scope == scopeNamespaced && o.id.Namespace == "" && r.DefaultNamespace != "":
		metadata["namespace"] = r.DefaultNamespace
		o.id.Namespace = r.DefaultNamespace
	case o.id.Namespace == "":
		delete(metadata, "namespace")
	}
}

func isSensitive(r *request, id objectID) bool {
	return isSecret(id) || slices.Contains(r.SensitiveKinds, groupKind{id.Group, id.Kind})
}

func encode(o *object, sink *errorSink) {
	if o.sensitive {
		dropLastApplied(o.value["metadata"].(map[string]any))
	}
	o.body = appendCanonical(nil, o.value, maxObjectBytes)
	if len(o.body) > maxObjectBytes {
		o.failWith(sink, ruleError{Code: codeLimit, Rule: "object-size", Limit: maxObjectBytes,
			Message: fmt.Sprintf("the object is longer than %d bytes; the API server's store refuses it", maxObjectBytes)})
		o.body = nil
		return
	}
	if o.sensitive {
		o.redacted = appendCanonical(nil, redact(o), maxObjectBytes)
	}
}

func refuseDuplicates(objects []*object, sink *errorSink) {
	seen := make(map[objectID]*object, len(objects))
	for _, o := range objects {
		key := o.id
		key.Version = ""
		first, twice := seen[key]
		if !twice {
			seen[key] = o
			continue
		}
		o.failWith(sink, ruleError{Rule: "duplicate-object",
			Message: fmt.Sprintf("the same object is in %s, line %d; keep one", clip(first.file), first.line)})
	}
}

func compareObjects(a, b *object) int {
	return cmp.Or(
		cmp.Compare(stageOrder[a.stage], stageOrder[b.stage]),
		cmp.Compare(a.wave, b.wave),
		strings.Compare(a.id.Group, b.id.Group),
		strings.Compare(a.id.Kind, b.id.Kind),
		strings.Compare(a.id.Namespace, b.id.Namespace),
		strings.Compare(a.id.Name, b.id.Name),
	)
}
