package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/validate/content"
)

// object is one Kubernetes object on its way through the checks.
type object struct {
	id    objectID
	value map[string]any
	node  *yaml.Node
	file  string
	line  int
	scope string
	stage string
	wave  int
	body  []byte
	// sensitive objects leave the child sealed, with redacted in place of body.
	sensitive bool
	redacted  []byte
	// keep, createOnly and hook are for the agent: never deleted, made once, run instead of held.
	keep       bool
	createOnly bool
	hook       *hookFacts
	text       *text
}

// fail reports an error at a field of the object, or at the object where the field has no node of its own.
func (o *object) fail(sink *errorSink, rule, message string, path ...string) {
	o.failWith(sink, ruleError{Rule: rule, Message: message}, path...)
}

func (o *object) failWith(sink *errorSink, e ruleError, path ...string) {
	if e.Code == "" {
		e.Code = codeInvalid
	}
	e.File, e.Line = o.file, lineAt(o.node, o.line, path)
	if o.text != nil && o.text.rendered {
		e.Line = max(o.text.line, 1)
	}
	if o.id.Kind != "" && e.Object == "" {
		e.Object = o.id.String()
	}
	sink.add(e)
}

// lineAt follows keys through a node tree, as far as they go.
func lineAt(n *yaml.Node, line int, path []string) int {
	for _, key := range path {
		if n != nil && n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n == nil || n.Kind != yaml.MappingNode {
			return line
		}
		var next *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if isKey(n.Content[i], key) {
				line, next = n.Content[i].Line, n.Content[i+1]
			}
		}
		n = next
	}
	return line
}

// isKey says whether a node is written as this key: a plain `on` is the key "true".
func isKey(n *yaml.Node, key string) bool {
	if n.Value == key {
		return true
	}
	text, ok := keyText(resolvePlain(n.Value))
	return n.Style == 0 && ok && text == key
}

// flatten turns a document into objects: a List (v1 List or a typed one such as ConfigMapList) into its items, whose
// kind a typed list implies, as kubectl does.
func flatten(sink *errorSink, o *object, depth int, out []*object) []*object {
	kind, _ := o.value["kind"].(string)
	apiVersion, _ := o.value["apiVersion"].(string)
	items, has := o.value["items"]
	if !strings.HasSuffix(kind, "List") || !has {
		return append(out, o)
	}
	if depth > 5 {
		o.fail(sink, "list-form", "lists nested in lists more than five deep")
		return out
	}
	list, ok := items.([]any)
	if !ok && items != nil {
		o.fail(sink, "list-form", "items of a "+quote(kind)+" must be a list", "items")
		return out
	}
	nodes := itemsNode(o.node)
	for i, item := range list {
		node, line := (*yaml.Node)(nil), o.line
		if nodes != nil && i < len(nodes.Content) {
			node = nodes.Content[i]
			line = node.Line
		}
		value, isMap := item.(map[string]any)
		if !isMap {
			sink.add(ruleError{Code: codeInvalid, Rule: "list-form", File: o.file, Line: line, Message: "item of a list is not an object but " + kindOfValue(item)})
			continue
		}
		if kind != "List" && value["kind"] == nil && value["apiVersion"] == nil {
			value["kind"], value["apiVersion"] = strings.TrimSuffix(kind, "List"), apiVersion
		}
		out = flatten(sink, &object{value: value, node: node, file: o.file, line: line, text: o.text}, depth+1, out)
	}
	return out
}

func itemsNode(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "items" {
			if n.Content[i+1].Kind == yaml.AliasNode {
				return n.Content[i+1].Alias
			}
			return n.Content[i+1]
		}
	}
	return nil
}

// identify reads apiVersion, kind, namespace and name; false when there is no telling which object this is.
func identify(sink *errorSink, o *object) bool {
	before := sink.count()
	kind, isText := o.value["kind"].(string)
	switch {
	case o.value["kind"] == nil || kind == "" && isText:
		o.fail(sink, "missing-kind", "the object has no kind; a file that is no Kubernetes object does not belong in this directory")
	case !isText:
		o.fail(sink, "kind-form", "kind must be a string, not "+kindOfValue(o.value["kind"]), "kind")
	case !isKind(kind):
		o.fail(sink, "kind-form", "kind "+quote(kind)+" is not a kind: letters and digits, 63 at most", "kind")
	}
	apiVersion, isText := o.value["apiVersion"].(string)
	switch {
	case sink.count() > before && o.value["apiVersion"] == nil:
		// Without both it is another kind of file; one error says so.
	case o.value["apiVersion"] == nil || apiVersion == "" && isText:
		o.fail(sink, "missing-api-version", "the object has no apiVersion", "kind")
	case !isText:
		o.fail(sink, "api-version-form", "apiVersion must be a string, not "+kindOfValue(o.value["apiVersion"])+"; quote it", "apiVersion")
	default:
		group, version, has := strings.Cut(apiVersion, "/")
		if !has {
			group, version = "", apiVersion
		}
		if (group != "" && len(content.IsDNS1123Subdomain(group)) > 0) || (has && group == "") || len(content.IsDNS1123Label(version)) > 0 {
			o.fail(sink, "api-version-form", "apiVersion "+quote(apiVersion)+" is not of the form version or group/version", "apiVersion")
		}
		o.id.Group, o.id.Version = group, version
	}
	if sink.count() > before {
		return false
	}
	o.id.Kind = kind
	metadata, isMap := o.value["metadata"].(map[string]any)
	if o.value["metadata"] != nil && !isMap {
		o.fail(sink, "metadata-form", "metadata must be a mapping, not "+kindOfValue(o.value["metadata"]), "metadata")
		return false
	}
	if namespace, isText := metadata["namespace"].(string); isText {
		o.id.Namespace = namespace
	} else if metadata["namespace"] != nil {
		o.fail(sink, "namespace-form", "metadata.namespace must be a string, not "+kindOfValue(metadata["namespace"])+"; quote it", "metadata", "namespace")
	}
	name, isText := metadata["name"].(string)
	generate := metadata["generateName"]
	isGenerated := generate != nil && generate != ""
	if isGenerated && o.hook == nil {
		o.fail(sink, "generate-name", "generateName makes a new object at every apply; give the object a name", "metadata", "generateName")
		return false
	}
	switch {
	case isGenerated && (metadata["name"] == nil || name == "" && isText):
		// A hook is made once per run; the agent knows it by a mark, whatever the API server names it.
		prefix, isPrefix := generate.(string)
		if !isPrefix {
			o.fail(sink, "name-form", "metadata.generateName must be a string, not "+kindOfValue(generate)+"; quote it", "metadata", "generateName")
			return false
		}
		// The API server adds five characters.
		checkName(sink, o, prefix+"xxxxx")
	case metadata["name"] == nil || name == "" && isText:
		o.fail(sink, "missing-name", "the object has no metadata.name", "metadata")
	case !isText:
		o.fail(sink, "name-form", "metadata.name must be a string, not "+kindOfValue(metadata["name"])+"; quote it", "metadata", "name")
	default:
		checkName(sink, o, name)
		o.id.Name = name
	}
	return sink.count() == before
}

func isKind(kind string) bool {
	for i, r := range kind {
		isLetter := r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !isLetter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return len(kind) <= 63
}

// checkName holds a name to what the API server asks of its kind: any path segment for RBAC and kinds we do not know
// (aggregated APIs have names such as system:x), a DNS subdomain for built-in kinds, a DNS label for namespaces.
func checkName(sink *errorSink, o *object, name string) {
	path := []string{"metadata", "name"}
	limit := 253
	if o.id.Group == "" && o.id.Kind == "Namespace" {
		limit = 63
	}
	if len(name) > limit {
		o.failWith(sink, ruleError{Code: codeLimit, Rule: "name-length", Limit: limit, Value: len(name),
			Message: fmt.Sprintf("metadata.name is longer than %d characters", limit)}, path...)
		return
	}
	wrong := content.IsPathSegmentName(name)
	_, isBuiltin := builtins[o.id.Group+"/"+o.id.Kind]
	isFree := o.id.Group == "rbac.authorization.k8s.io" || o.id.Kind == "IPAddress" || o.id.Group == "certificates.k8s.io"
	switch {
	case limit == 63:
		wrong = content.IsDNS1123Label(name)
	case isBuiltin && !isFree:
		wrong = content.IsDNS1123Subdomain(name)
	}
	for _, r := range name {
		if r < 0x20 || r == 0x7f {
			wrong = append(wrong, "it has control characters")
			break
		}
	}
	if len(wrong) > 0 {
		o.failWith(sink, ruleError{Rule: "name-form", Value: clip(name), Message: "metadata.name " + quote(name) + " is not allowed: " + firstSentence(wrong[0])}, path...)
	}
}

func firstSentence(text string) string {
	text, _, _ = strings.Cut(text, " (e.g.")
	return text
}

// serverFields are set by the API server; in Git they come from `kubectl get -o yaml` and break the apply.
var serverFields = []string{"uid", "resourceVersion", "managedFields", "generation", "selfLink", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}

const (
	ownerLabel       = "fairlead.dev/owner"
	objectAnnotation = "fairlead.dev/object"
	waveAnnotation   = "fairlead.dev/wave"
	lastApplied      = "kubectl.kubernetes.io/last-applied-configuration"
)

// checkMetadata refuses what must not come from Git, drops what means nothing there (status, creationTimestamp: null)
// and reads the wave.
func checkMetadata(sink *errorSink, o *object) {
	delete(o.value, "status")
	metadata := o.value["metadata"].(map[string]any)
	for _, field := range serverFields {
		value, has := metadata[field]
		if !has {
			continue
		}
		if value == nil {
			delete(metadata, field)
			continue
		}
		o.fail(sink, "server-field", "metadata."+field+" is set by the API server; remove it", "metadata", field)
	}
	if owners, has := metadata["ownerReferences"]; has && owners != nil {
		o.fail(sink, "owner-reference", "ownerReferences name a UID of one cluster and hand the object to another owner; remove them", "metadata", "ownerReferences")
	}
	if o.id.Namespace != "" && len(content.IsDNS1123Label(o.id.Namespace)) > 0 {
		o.failWith(sink, ruleError{Rule: "namespace-form", Value: clip(o.id.Namespace),
			Message: "metadata.namespace " + quote(o.id.Namespace) + " is not a namespace name: " + firstSentence(content.IsDNS1123Label(o.id.Namespace)[0])}, "metadata", "namespace")
	}
	checkLabels(sink, o, metadata)
	checkAnnotations(sink, o, metadata)
}

// textMap reads labels or annotations, reporting values that are not strings.
func textMap(sink *errorSink, o *object, metadata map[string]any, field, rule string) map[string]string {
	if metadata[field] == nil {
		return nil
	}
	entries, ok := metadata[field].(map[string]any)
	if !ok {
		o.fail(sink, rule, "metadata."+field+" must be a mapping, not "+kindOfValue(metadata[field]), "metadata", field)
		return nil
	}
	texts := make(map[string]string, len(entries))
	for _, key := range sortedKeys(entries) {
		text, isText := entries[key].(string)
		if !isText {
			o.fail(sink, rule, "metadata."+field+" "+quote(key)+" must be a string, not "+kindOfValue(entries[key])+"; quote it", "metadata", field, key)
			continue
		}
		texts[key] = text
	}
	return texts
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func checkLabels(sink *errorSink, o *object, metadata map[string]any) {
	labels := textMap(sink, o, metadata, "labels", "label-form")
	for _, key := range sortedKeys(labels) {
		at := []string{"metadata", "labels", key}
		if wrong := content.IsLabelKey(key); len(wrong) > 0 {
			o.fail(sink, "label-form", "label key "+quote(key)+" is not allowed: "+firstSentence(wrong[0]), at...)
		} else if wrong := content.IsLabelValue(labels[key]); len(wrong) > 0 {
			o.fail(sink, "label-form", "value "+quote(labels[key])+" of label "+quote(key)+" is not allowed: "+firstSentence(wrong[0]), at...)
		}
	}
	if _, has := labels[ownerLabel]; has {
		o.fail(sink, "owner-mark", "label "+ownerLabel+" is set by Fairlead's agent; remove it", "metadata", "labels", ownerLabel)
	}
}

func checkAnnotations(sink *errorSink, o *object, metadata map[string]any) {
	annotations := textMap(sink, o, metadata, "annotations", "annotation-form")
	size := 0
	for _, key := range sortedKeys(annotations) {
		size += len(key) + len(annotations[key])
		if wrong := content.IsLabelKey(strings.ToLower(key)); len(wrong) > 0 {
			o.fail(sink, "annotation-form", "annotation key "+quote(key)+" is not allowed: "+firstSentence(wrong[0]), "metadata", "annotations", key)
		}
	}
	if size > maxAnnotationLen {
		o.failWith(sink, ruleError{Rule: "annotation-size", Code: codeLimit, Limit: maxAnnotationLen, Value: size,
			Message: fmt.Sprintf("the annotations are longer than %d bytes together", maxAnnotationLen)}, "metadata", "annotations")
	}
	if _, has := annotations[objectAnnotation]; has {
		o.fail(sink, "owner-mark", "annotation "+objectAnnotation+" is set by Fairlead's agent; remove it", "metadata", "annotations", objectAnnotation)
	}
	if text, has := annotations[waveAnnotation]; has {
		wave, err := strconv.Atoi(text)
		if err != nil || wave < -maxWave || wave > maxWave {
			o.failWith(sink, ruleError{Rule: "wave-form", Limit: maxWave,
				Message: fmt.Sprintf("annotation %s must be an integer from -%d to %d in quotes, not %s", waveAnnotation, maxWave, maxWave, quote(text))},
				"metadata", "annotations", waveAnnotation)
			return
		}
		o.wave = wave
	}
}

// checkConfigMap catches the commonest mistake in Git: data that YAML reads as a number or a boolean.
func checkConfigMap(sink *errorSink, o *object) {
	data, isMap := o.value["data"].(map[string]any)
	if o.value["data"] != nil && !isMap {
		o.fail(sink, "data-form", "data must be a mapping, not "+kindOfValue(o.value["data"]), "data")
		return
	}
	for _, key := range sortedKeys(data) {
		if _, isText := data[key].(string); !isText {
			o.fail(sink, "data-form", "data "+quote(key)+" must be a string, not "+kindOfValue(data[key])+"; quote it", "data", key)
		}
	}
}
