package main

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzValues looks for documents that kubectl and the renderer both take and read differently, and for panics.
// Run: go test -fuzz FuzzValues -fuzztime 60s
func FuzzValues(f *testing.F) {
	for _, scalar := range scalars {
		f.Add("a: " + scalar + "\nb: [" + scalar + "]\n")
	}
	for _, source := range []string{
		"a: |\n  x\nb: >-\n  y\n", "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n", "? a\n: b\n", "{\"a\": [1, 2.5e3, null]}", "a: !!str 1\n", "%YAML 1.1\n---\na: 1\n...\n",
	} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		ours, weDo := valuesOfOurs(t, source)
		// Documents after the first are read by us and not by YAMLToJSON; JSON has its own grammar here.
		if !weDo || looksLikeJSON([]byte(source)) || strings.Contains(source, "---") || strings.Contains(source, "\ufeff") {
			return
		}
		if theirs, theyDo := valuesOfKubectl(source); theyDo && ours != theirs && !isKnownToDiffer(source) {
			t.Errorf("%q\n  kubectl %s\n  ours    %s", source, theirs, ours)
		}
	})
}

// bareTag is the non-specific tag: `! 5` is the string "5" for yaml/v2; yaml/v3 does not tell it from `5`.
var bareTag = regexp.MustCompile(`!([\s,\]}]|$)`)

func isKnownToDiffer(source string) bool {
	return bareTag.MatchString(source)
}
