package main

import "path"

// engine turns the files of a request into YAML or JSON texts. What follows (parsing, variables, checks, canonical
// bytes, order, secrets) is the same for all of them. One file per engine: engine_<name>.go.
type engine interface {
	// run reads what it needs through the request's file set, which records it.
	run(files *fileSet, r *request, sink *errorSink) []text
}

var engines = map[string]engine{
	"manifests": manifests{},
}

type file struct {
	path  string
	bytes []byte
}

// fileSet is the files of a request, and the record of what was asked of them: the cache key is made from that record.
type fileSet struct {
	files  []file
	read   []string
	listed []listing
}

// listing says which names an engine looked for: a new file of such a name changes the render.
type listing struct {
	// Suffixes are the ends of file names (".yaml"); Names are whole file names ("kustomization.yaml").
	Suffixes []string `json:"suffixes"`
	Names    []string `json:"names"`
	// Recurse says whether directories below count.
	Recurse bool `json:"recurse"`
}

// list gives the files whose names a listing covers, in the order of their paths, and records both.
func (s *fileSet) list(l listing) []file {
	s.listed = append(s.listed, l)
	var found []file
	for _, f := range s.files {
		if l.covers(f.path) {
			s.read = append(s.read, f.path)
			found = append(found, f)
		}
	}
	return found
}

func (l listing) covers(name string) bool {
	directory, base := path.Split(name)
	if directory != "" && !l.Recurse {
		return false
	}
	for _, whole := range l.Names {
		if base == whole {
			return true
		}
	}
	for _, suffix := range l.Suffixes {
		if len(base) > len(suffix) && base[len(base)-len(suffix):] == suffix {
			return true
		}
	}
	return false
}
