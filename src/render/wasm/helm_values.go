//go:build !small

package main

import (
	"bytes"
	"path"
	"strings"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

// values merges what the application gives over the chart's own: value files in their order, then inline values.
func (h *helmRun) values() (map[string]any, bool) {
	merged := map[string]any{}
	for _, name := range h.options.ValueFiles {
		clean := path.Clean(name)
		if clean == ".." || strings.HasPrefix(clean, "../") {
			h.fail("the value file " + quote(name) + " is outside of the repository")
			return nil, false
		}
		content, ok := h.files.get(clean)
		if !ok {
			if h.options.IgnoreMissingValueFiles {
				continue
			}
			h.sink.add(ruleError{Code: codeInvalid, Rule: "value-file-missing", File: clean,
				Message: "there is no such value file; add it, or set render.helm.ignoreMissingValueFiles"})
			return nil, false
		}
		if e, found := encryptedFile(clean, content); found {
			h.sink.add(e)
			return nil, false
		}
		one, err := loader.LoadValues(bytes.NewReader(content))
		if err != nil {
			h.failAt(clean, lineIn(err.Error()), "the value file cannot be read: "+err.Error())
			return nil, false
		}
		merged = loader.MergeMaps(merged, one)
	}
	if len(h.options.Values) == 0 || string(h.options.Values) == "null" {
		return merged, true
	}
	inline, err := loader.LoadValues(bytes.NewReader(h.options.Values))
	if err != nil {
		h.fail("render.helm.values cannot be read: " + err.Error())
		return nil, false
	}
	expanded, why := h.expand(inline)
	if why != nil {
		h.sink.add(ruleError{Code: codeVariable, Rule: why.rule, Message: "render.helm.values: " + why.message})
		return nil, false
	}
	return loader.MergeMaps(merged, expanded.(map[string]any)), true
}

// expand replaces variables in the strings of inline values.
func (h *helmRun) expand(value any) (any, *variableError) {
	switch v := value.(type) {
	case string:
		return h.r.Cluster.expand(v, h.r.used)
	case map[string]any:
		for key, inner := range v {
			out, err := h.expand(inner)
			if err != nil {
				return nil, err
			}
			v[key] = out
		}
	case []any:
		for i, inner := range v {
			out, err := h.expand(inner)
			if err != nil {
				return nil, err
			}
			v[i] = out
		}
	}
	return value, nil
}
