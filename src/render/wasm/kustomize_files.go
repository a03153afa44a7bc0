//go:build !small

package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kustomizeFiles shows a file set to Kustomize as a file system whose root is the repository's: nothing above it, nothing
// to write, and every look recorded. Kustomizations in it are changed where a remote base has been fetched.
type kustomizeFiles struct {
	files *fileSet
	// made are files that the request implies: a kustomization around the application's, one per remote file.
	made map[string][]byte
	// remotes maps an entry as it is written in a kustomization to the directory it was fetched to.
	remotes map[string]string
	// loaded are the files whose content Kustomize took, for telling where an object comes from.
	loaded []string
}

func relative(name string) string {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if clean == "" {
		return "."
	}
	return clean
}

func (k *kustomizeFiles) content(name string) ([]byte, bool) {
	if made, ok := k.made[name]; ok {
		return made, true
	}
	return k.files.get(name)
}

func (k *kustomizeFiles) isDirectory(name string) bool {
	if k.files.isDirectory(name) {
		return true
	}
	for made := range k.made {
		if strings.HasPrefix(made, name+"/") {
			return true
		}
	}
	return false
}

func (k *kustomizeFiles) ReadFile(name string) ([]byte, error) {
	clean := relative(name)
	content, ok := k.content(clean)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	k.loaded = append(k.loaded, clean)
	if len(k.remotes) > 0 && otherEngines[path.Base(clean)] == "Kustomize" {
		return withFetched(content, path.Dir(clean), k.remotes), nil
	}
	return content, nil
}

func (k *kustomizeFiles) Open(name string) (filesys.File, error) {
	content, err := k.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &openFile{name: path.Base(name), size: int64(len(content)), Reader: strings.NewReader(string(content))}, nil
}

func (k *kustomizeFiles) IsDir(name string) bool { return k.isDirectory(relative(name)) }

func (k *kustomizeFiles) Exists(name string) bool {
	clean := relative(name)
	if k.isDirectory(clean) {
		return true
	}
	_, ok := k.content(clean)
	return ok
}

func (k *kustomizeFiles) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	clean := relative(name)
	if k.isDirectory(clean) {
		return confirmed(clean), "", nil
	}
	if _, ok := k.content(clean); ok {
		return confirmed(path.Dir(clean)), path.Base(clean), nil
	}
	return "", "", fmt.Errorf("'%s' doesn't exist", name)
}

func confirmed(directory string) filesys.ConfirmedDir {
	return filesys.ConfirmedDir(path.Join("/", directory))
}

func (k *kustomizeFiles) ReadDir(name string) ([]string, error) {
	clean := relative(name)
	k.files.list(listing{Directory: clean, Suffixes: []string{""}, Names: []string{}})
	entries, ok := k.files.directories[clean]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return entries, nil
}

func readOnly(name string) error {
	return &fs.PathError{Op: "write", Path: name, Err: fs.ErrPermission}
}

func (k *kustomizeFiles) Create(name string) (filesys.File, error)    { return nil, readOnly(name) }
func (k *kustomizeFiles) Mkdir(name string) error                     { return readOnly(name) }
func (k *kustomizeFiles) MkdirAll(name string) error                  { return readOnly(name) }
func (k *kustomizeFiles) RemoveAll(name string) error                 { return readOnly(name) }
func (k *kustomizeFiles) WriteFile(name string, _ []byte) error       { return readOnly(name) }
func (k *kustomizeFiles) Glob(pattern string) ([]string, error)       { return nil, readOnly(pattern) }
func (k *kustomizeFiles) Walk(name string, _ filepath.WalkFunc) error { return readOnly(name) }

// openFile is a file that can be read.
type openFile struct {
	*strings.Reader
	name string
	size int64
}

func (f *openFile) Write([]byte) (int, error)  { return 0, io.ErrClosedPipe }
func (f *openFile) Close() error               { return nil }
func (f *openFile) Stat() (os.FileInfo, error) { return f, nil }
func (f *openFile) Name() string               { return f.name }
func (f *openFile) Size() int64                { return f.size }
func (f *openFile) Mode() fs.FileMode          { return 0o444 }
func (f *openFile) ModTime() time.Time         { return time.Time{} }
func (f *openFile) IsDir() bool                { return false }
func (f *openFile) Sys() any                   { return nil }
