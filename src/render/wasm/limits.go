package main

// Bounds of one render. Reasons: docs/adr/0002-renderer.md.
const (
	maxDepth         = 100       // nesting of one document; deeper than any known CRD by a factor of three
	maxDocuments     = 5_000     // per file
	maxDocumentBytes = 4 << 20   // one YAML or JSON document; its object may have 1.5 MB
	maxJSONValues    = 200_000   // per JSON file; a value costs some hundred bytes while it is parsed
	maxObjects       = 20_000    // per render
	maxObjectBytes   = 1_500_000 // etcd refuses more than 1.5 MiB per request
	maxOutputBytes   = 32 << 20  // all canonical bytes together
	maxAliasNodes    = 20_000    // values that aliases and merges copy, per document
	maxRequestBytes  = 48 << 20  // what the module takes at all; the plane's own bound is lower
	maxAnnotationLen = 256 << 10 // apimachinery: TotalAnnotationSizeLimitB
	maxChartBytes    = 32 << 20  // what one archive in charts/ unpacks to
	maxWave          = 1_000     // either side of zero
)
