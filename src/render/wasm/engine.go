package main

import (
	"path"
	"slices"
	"strings"
)

// engine turns the files of a request into YAML or JSON texts. What follows (parsing, variables, checks, canonical
// bytes, order, secrets) is the same for all of them. One file per engine: engine_<name>.go.
type engine interface {
	// run reads what it needs through the request's file set, which records it.
	run(files *fileSet, r *request, sink *errorSink) []text
}

var engines = map[string]engine{
	"manifests": manifests{},
}

var kustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// chooseEngine finds the engine from the files: a chart is Helm's, a kustomization Kustomize's, anything else manifests.
func chooseEngine(files *fileSet, directory string) string {
	if files.exists(path.Join(directory, "Chart.yaml")) {
		return "helm"
	}
	for _, name := range kustomizationNames {
		if files.exists(path.Join(directory, name)) {
			return "kustomize"
		}
	}
	return "manifests"
}

type file struct {
	path  string
	bytes []byte
}

// fileSet is the files of a request, by their path in the repository, and the record of what was asked of them: the
// cache key is made from that record. What was looked for and is not there is part of it.
type fileSet struct {
	files  []file
	byPath map[string]int
	// directories are those that hold files, with their entries.
	directories map[string][]string
	read        map[string]bool
	listed      []listing
	clock       bool
}

func newFileSet(files []file) *fileSet {
	s := &fileSet{files: files, byPath: make(map[string]int, len(files)), directories: map[string][]string{".": nil}, read: map[string]bool{}}
	for i, f := range files {
		s.byPath[f.path] = i
		for child := f.path; child != "."; child = path.Dir(child) {
			parent := path.Dir(child)
			entries, known := s.directories[parent]
			s.directories[parent] = append(entries, path.Base(child))
			if known && parent != "." {
				break
			}
		}
	}
	return s
}

// get gives a file's bytes and records that it was asked for.
func (s *fileSet) get(name string) ([]byte, bool) {
	s.read[name] = true
	if i, ok := s.byPath[name]; ok {
		return s.files[i].bytes, true
	}
	return nil, false
}

func (s *fileSet) exists(name string) bool {
	_, ok := s.get(name)
	return ok
}

func (s *fileSet) isDirectory(name string) bool {
	_, ok := s.directories[name]
	return ok
}

// listing says which names an engine looked for: a new file of such a name changes the render.
type listing struct {
	// Directory is where it looked: "." is the root of the repository.
	Directory string `json:"directory"`
	// Suffixes are the ends of file names (".yaml", "" for every file); Names are whole file names ("kustomization.yaml").
	Suffixes []string `json:"suffixes"`
	Names    []string `json:"names"`
	// Recurse says whether directories below count.
	Recurse bool `json:"recurse"`
}

// look gives the files whose names a listing covers, in the order of their paths, and records the listing: that they are
// there, not what is in them.
func (s *fileSet) look(l listing) []file {
	s.listed = append(s.listed, l)
	var found []file
	for _, f := range s.files {
		if l.covers(f.path) {
			found = append(found, f)
		}
	}
	return found
}

// list is look for files that are all read.
func (s *fileSet) list(l listing) []file {
	found := s.look(l)
	for _, f := range found {
		s.read[f.path] = true
	}
	return found
}

// covers is the same question as in listing.ts.
func (l listing) covers(name string) bool {
	if l.Directory != "." && l.Directory != "" {
		below, ok := strings.CutPrefix(name, l.Directory+"/")
		if !ok {
			return false
		}
		name = below
	}
	directory, base := path.Split(name)
	if directory != "" && !l.Recurse {
		return false
	}
	if slices.Contains(l.Names, base) {
		return true
	}
	for _, suffix := range l.Suffixes {
		if len(base) > len(suffix) && strings.HasSuffix(base, suffix) {
			return true
		}
	}
	return false
}

// text is what an engine hands on: YAML or JSON with the file it is reported under.
type text struct {
	name  string
	bytes []byte
	// rendered texts have lines of their own, which are not those of the file they come from.
	rendered bool
	// line is where in the file a rendered text comes from; 0 where that is not known.
	line int
	// laterKeysWin: templates of others write keys twice, Helm installs that, and who delivers the chart cannot change it.
	laterKeysWin bool
	// hook is set where the objects run once instead of being held.
	hook *hookFacts
	// createOnly objects are made where they are missing and then left alone.
	createOnly bool
}
