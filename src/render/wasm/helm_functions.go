//go:build !small

package main

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
)

// clockFunctions are those of Sprig that look at the clock; that they did is recorded, the clock itself is the host's.
var clockFunctions = []string{
	"now", "date", "dateInZone", "date_in_zone", "htmlDate", "htmlDateInZone", "ago", "duration", "durationRound",
	"genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey",
}

// helmFunctions replaces what in Sprig would be random or timed without anybody knowing. crypto/rand comes from the host, which
// records it; math/rand is seeded once per process, alike for every cluster, so what uses it is rewritten.
func helmFunctions(files *fileSet) template.FuncMap {
	out := template.FuncMap{
		"randInt": func(low, high int) int { return low + below(high-low) },
		"shuffle": func(text string) string {
			runes := []rune(text)
			for i := len(runes) - 1; i > 0; i-- {
				j := below(i + 1)
				runes[i], runes[j] = runes[j], runes[i]
			}
			return string(runes)
		},
	}
	all := sprig.TxtFuncMap()
	for _, name := range clockFunctions {
		if original, ok := all[name]; ok {
			out[name] = recording(original, func() { files.clock = true })
		}
	}
	return out
}

// recording wraps a function of any signature.
func recording(original any, note func()) any {
	value := reflect.ValueOf(original)
	return reflect.MakeFunc(value.Type(), func(args []reflect.Value) []reflect.Value {
		note()
		if value.Type().IsVariadic() {
			return value.CallSlice(args)
		}
		return value.Call(args)
	}).Interface()
}

// below gives a number from 0 to n-1; like math/rand it panics, an error of the template, when there is none.
func below(n int) int {
	if n <= 0 {
		panic("invalid argument to randInt: the upper bound must be above the lower one")
	}
	drawn, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err)
	}
	return int(drawn.Int64())
}

// capabilities are common.Capabilities, with a set of API versions that remembers what it was asked.
type capabilities struct {
	KubeVersion common.KubeVersion
	APIVersions apiVersions
	HelmVersion any
}

type apiVersions []string

var asked map[string]bool

// Has says whether the cluster serves a version ("batch/v1") or a kind ("batch/v1/CronJob").
func (v apiVersions) Has(version string) bool {
	asked["capabilities.apis."+version] = true
	return slices.Contains(v, version)
}

var (
	mentionsKube   = regexp.MustCompile(`KubeVersion|Capabilities($|[^.]|\.[^KAH])`)
	mentionsAllAPI = regexp.MustCompile(`APIVersions($|[^.]|\.($|[^H]))|Capabilities($|[^.]|\.[^KAH])`)
)

// capabilities gives those of the cluster, and records what of them the chart may look at: single API versions as they are
// asked for, everything else by the words in its files.
func (h *helmRun) capabilities(root *chart.Chart, values map[string]any) (*capabilities, bool) {
	known := common.DefaultCapabilities
	caps := &capabilities{KubeVersion: known.KubeVersion, APIVersions: apiVersions(known.APIVersions), HelmVersion: known.HelmVersion}
	given := h.r.Cluster.Capabilities
	if given.KubeVersion != "" {
		if version, err := common.ParseKubeVersion(given.KubeVersion); err == nil {
			caps.KubeVersion = *version
		}
	}
	if len(given.APIs) > 0 {
		caps.APIVersions = given.APIs
	}
	asked = h.r.used
	h.recordMentions(root)
	if wanted := root.Metadata.KubeVersion; wanted != "" {
		h.r.used["capabilities.kubeVersion"] = true
		if !chartutil.IsCompatibleRange(wanted, caps.KubeVersion.String()) {
			h.fail("the chart requires Kubernetes " + wanted + ", and cluster " + h.r.Cluster.Name + " has " + caps.KubeVersion.Version)
			return nil, false
		}
	}
	return caps, true
}

func (h *helmRun) recordMentions(c *chart.Chart) {
	for _, list := range [][]*common.File{c.Templates, c.Files, c.Raw} {
		for _, f := range list {
			if !bytes.Contains(f.Data, []byte("Capabilities")) && !bytes.Contains(f.Data, []byte("KubeVersion")) && !bytes.Contains(f.Data, []byte("APIVersions")) {
				continue
			}
			if mentionsKube.Match(f.Data) {
				h.r.used["capabilities.kubeVersion"] = true
			}
			if mentionsAllAPI.Match(f.Data) {
				h.r.used["capabilities.apis"] = true
			}
		}
	}
	for _, dependency := range c.Dependencies() {
		h.recordMentions(dependency)
	}
}
