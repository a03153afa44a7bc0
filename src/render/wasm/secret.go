package main

import (
	"encoding/base64"
	"strings"
)

const redacted = "[redacted]"

// groupKind names a kind whose objects are sealed like Secrets.
type groupKind struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
}

func isSecret(id objectID) bool { return id.Group == "" && id.Kind == "Secret" }

// foldSecret checks a Secret and moves stringData into data, as the API server does. Errors name keys, never values.
func foldSecret(sink *errorSink, o *object) {
	data := map[string]any{}
	for _, field := range []string{"data", "stringData"} {
		if o.value[field] == nil {
			continue
		}
		entries, isMap := o.value[field].(map[string]any)
		if !isMap {
			o.fail(sink, "secret-data", field+" must be a mapping, not "+kindOfValue(o.value[field]), field)
			return
		}
		for _, key := range sortedKeys(entries) {
			text, isText := entries[key].(string)
			if !isText {
				o.fail(sink, "secret-data", field+" "+quote(key)+" must be a string, not "+kindOfValue(entries[key])+"; quote it", field, key)
				continue
			}
			if field == "stringData" {
				data[key] = base64.StdEncoding.EncodeToString([]byte(text))
				continue
			}
			// Like encoding/json: line breaks inside base64 mean nothing. Written back without them, so that equal data is equal.
			text = strings.NewReplacer("\n", "", "\r", "").Replace(text)
			decoded, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				o.fail(sink, "secret-data", "data "+quote(key)+" is not base64; put clear text under stringData", field, key)
				continue
			}
			data[key] = base64.StdEncoding.EncodeToString(decoded)
		}
	}
	delete(o.value, "stringData")
	if len(data) > 0 {
		o.value["data"] = data
	} else {
		delete(o.value, "data")
	}
	if metadata, ok := o.value["metadata"].(map[string]any); ok {
		dropLastApplied(metadata)
	}
}

// dropLastApplied removes kubectl's copy of the whole object, which for a Secret is its data once more.
func dropLastApplied(metadata map[string]any) {
	annotations, ok := metadata["annotations"].(map[string]any)
	if !ok {
		return
	}
	delete(annotations, lastApplied)
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
}

// redact gives the object as logs, diffs and pages may show it: a Secret without its values; of any other kind that the
// request calls sensitive, only what names it.
func redact(o *object) map[string]any {
	out := make(map[string]any, len(o.value))
	for key, value := range o.value {
		switch {
		case key == "apiVersion" || key == "kind" || key == "metadata":
			out[key] = value
		case isSecret(o.id) && key == "data":
			data := map[string]any{}
			for name := range value.(map[string]any) {
				data[name] = redacted
			}
			out[key] = data
		case isSecret(o.id) && (key == "type" || key == "immutable"):
			out[key] = value
		default:
			out[key] = redacted
		}
	}
	return out
}
