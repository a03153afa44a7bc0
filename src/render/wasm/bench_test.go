package main

import (
	"fmt"
	"testing"
)

func BenchmarkRender1000(b *testing.B) {
	var files []file
	for i := range 1000 {
		files = append(files, file{fmt.Sprintf("cm%d.yaml", i), fmt.Appendf(nil, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm-%d\n  namespace: shop\ndata:\n  a: \"hello\"\n  b: \"some\\nmore\"\n  c: \"%0200d\"\n", i, i)})
	}
	r := &request{Engine: "manifests", Recurse: true}
	for b.Loop() {
		out, objects := render(r, files, func(string, int) {})
		if len(out.Errors) > 0 || len(encodeResult(out, objects)) == 0 {
			b.Fatal(out.Errors)
		}
	}
}
