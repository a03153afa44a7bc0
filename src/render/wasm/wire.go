package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
)

// A message in either direction is: length of the header (4 bytes, little-endian), header (JSON), then raw bytes whose
// lengths the header gives.

func decodeRequest(message []byte) (*request, []file, error) {
	if len(message) < 4 {
		return nil, nil, errors.New("request is cut off")
	}
	headerBytes := int(binary.LittleEndian.Uint32(message))
	if headerBytes > len(message)-4 {
		return nil, nil, errors.New("request header is cut off")
	}
	r := &request{}
	if err := json.Unmarshal(message[4:4+headerBytes], r); err != nil {
		return nil, nil, err
	}
	rest := message[4+headerBytes:]
	files := make([]file, 0, len(r.Files))
	for _, header := range r.Files {
		if header.Bytes < 0 || header.Bytes > len(rest) {
			return nil, nil, errors.New("request files are cut off")
		}
		files = append(files, file{header.Path, rest[:header.Bytes]})
		rest = rest[header.Bytes:]
	}
	return r, files, nil
}

func encodeResult(out result, objects []*object) []byte {
	if out.Errors == nil {
		out.Errors = []ruleError{}
	}
	if out.ReadSet.Files == nil {
		out.ReadSet.Files = []string{}
	}
	if out.ReadSet.Listed == nil {
		out.ReadSet.Listed = []listing{}
	}
	var header bytes.Buffer
	encoder := json.NewEncoder(&header)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(out); err != nil {
		panic(err)
	}
	total := 4 + header.Len()
	for _, o := range objects {
		total += len(o.body) + len(o.redacted)
	}
	message := make([]byte, 4, total)
	binary.LittleEndian.PutUint32(message, uint32(header.Len()))
	message = append(message, header.Bytes()...)
	for _, o := range objects {
		message = append(message, o.body...)
		message = append(message, o.redacted...)
	}
	return message
}
