//go:build !small

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/ignore"
)

func init() {
	// Of what an archive in charts/ may unpack to; more than the plane hands in as files is never meant.
	archive.MaxDecompressedChartSize = maxChartBytes
}

// loadChart reads the chart of a directory as Helm does: less what .helmignore names, with charts/, and with dependencies
// of the same repository (file://) that are not vendored. Nil when it could not.
func (h *helmRun) loadChart(directory string, depth int) *chart.Chart {
	if depth > 10 {
		h.sink.add(ruleError{Code: codeLimit, Rule: "depth", File: path.Join(directory, "Chart.yaml"), Line: 1,
			Message: "charts depend on each other more than ten deep"})
		return nil
	}
	rules := ignore.Empty()
	if content, ok := h.files.get(path.Join(directory, ignore.HelmIgnore)); ok {
		parsed, err := ignore.Parse(bytes.NewReader(content))
		if err != nil {
			h.failAt(path.Join(directory, ignore.HelmIgnore), 1, "the file cannot be read: "+err.Error())
			return nil
		}
		rules = parsed
	}
	rules.AddDefaults()
	ignored := map[string]bool{".": false}
	var isIgnored func(name string) bool
	isIgnored = func(name string) bool {
		known, ok := ignored[name]
		if !ok {
			known = isIgnored(path.Dir(name)) || rules.Ignore(name, entryInfo{path.Base(name), true})
			ignored[name] = known
		}
		return known
	}
	below := h.files.look(listing{Directory: directory, Suffixes: []string{""}, Names: []string{}, Recurse: true})
	var buffered []*archive.BufferedFile
	for _, f := range below {
		name := strings.TrimPrefix(f.path, directory+"/")
		if isIgnored(path.Dir(name)) || rules.Ignore(name, entryInfo{path.Base(name), false}) {
			continue
		}
		h.files.read[f.path] = true
		if int64(len(f.bytes)) > archive.MaxDecompressedFileSize {
			h.sink.add(ruleError{Code: codeLimit, Rule: "chart-file-size", File: f.path, Limit: archive.MaxDecompressedFileSize, Value: len(f.bytes),
				Message: fmt.Sprintf("the file is longer than the %d bytes that Helm takes; name it in .helmignore", archive.MaxDecompressedFileSize)})
			return nil
		}
		buffered = append(buffered, &archive.BufferedFile{Name: name, Data: bytes.TrimPrefix(f.bytes, []byte("\xef\xbb\xbf"))})
	}
	loaded, err := loader.LoadFiles(buffered)
	if err != nil {
		h.failAt(path.Join(directory, "Chart.yaml"), 1, "the chart cannot be loaded: "+err.Error())
		return nil
	}
	return h.withLocal(loaded, directory, depth)
}

// withLocal adds dependencies that are in the same repository, as `helm dependency build` would.
func (h *helmRun) withLocal(loaded *chart.Chart, directory string, depth int) *chart.Chart {
	for _, wanted := range loaded.Metadata.Dependencies {
		from, isLocal := strings.CutPrefix(wanted.Repository, "file://")
		if !isLocal || hasDependency(loaded, wanted.Name) {
			continue
		}
		where := path.Join(directory, from)
		if strings.HasPrefix(from, "/") || where == ".." || strings.HasPrefix(where, "../") || !h.files.exists(path.Join(where, "Chart.yaml")) {
			h.failAt(path.Join(directory, "Chart.yaml"), 1,
				fmt.Sprintf("dependency %s: there is no chart at %s in the repository", clip(wanted.Name), clip(where)))
			return nil
		}
		dependency := h.loadChart(where, depth+1)
		if dependency == nil {
			return nil
		}
		loaded.AddDependency(dependency)
	}
	return loaded
}

func hasDependency(c *chart.Chart, name string) bool {
	for _, one := range c.Dependencies() {
		if one.Name() == name {
			return true
		}
	}
	return false
}

// isComplete says whether the chart can be installed and everything it depends on is there.
func (h *helmRun) isComplete(c *chart.Chart) bool {
	file := path.Join(h.r.Path, "Chart.yaml")
	if kind := c.Metadata.Type; kind != "" && kind != "application" {
		h.sink.add(ruleError{Code: codeEngine, Rule: "chart-type", File: file, Line: 1,
			Message: "a chart of type " + quote(kind) + " cannot be installed; point the application at one of type application"})
		return false
	}
	var missing []string
	for _, wanted := range c.Metadata.Dependencies {
		if !hasDependency(c, wanted.Name) {
			missing = append(missing, clip(wanted.Name+" "+wanted.Version))
		}
	}
	if len(missing) > 0 {
		h.sink.add(ruleError{Code: codeEngine, Rule: "chart-dependency", File: file, Line: 1,
			Message: "named in Chart.yaml and not in charts/: " + strings.Join(missing, ", ") + "; run `helm dependency build` and commit charts/"})
	}
	return len(missing) == 0
}

// entryInfo is what .helmignore asks of a file or directory.
type entryInfo struct {
	name  string
	isDir bool
}

func (e entryInfo) Name() string       { return e.name }
func (e entryInfo) Size() int64        { return 0 }
func (e entryInfo) Mode() fs.FileMode  { return 0 }
func (e entryInfo) ModTime() time.Time { return time.Time{} }
func (e entryInfo) IsDir() bool        { return e.isDir }
func (e entryInfo) Sys() any           { return nil }
