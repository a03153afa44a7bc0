//go:build wasip1

// Fairlead's renderer: files and values in, canonical Kubernetes objects out. A WebAssembly reactor without files,
// network, environment or arguments; the host (src/render/worker.ts) gives it a clock and a stream of random bytes.
package main

import (
	"fmt"
	"runtime/debug"
	"unsafe"
)

func main() {}

func init() {
	// An instance lives for one render: collect late, but in time for the 256 MiB at which the host stops the module.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(160 << 20)
}

var (
	input  []byte
	output []byte
	// parsing is where the parser is; the host reads it when the module has died.
	parsing struct {
		line   uint32
		length uint32
		name   [512]byte
	}
)

// alloc gives room for a request of that many bytes, 0 when it is too large.
//
//go:wasmexport alloc
func alloc(size uint32) uint32 {
	if size == 0 || size > maxRequestBytes {
		return 0
	}
	input = make([]byte, size)
	return uint32(uintptr(unsafe.Pointer(&input[0])))
}

// whereabouts gives the address of parsing.
//
//go:wasmexport whereabouts
func whereabouts() uint32 {
	return uint32(uintptr(unsafe.Pointer(&parsing)))
}

// renderRequest renders what alloc's room was filled with; the answer's address is in the upper, its length in the
// lower half.
//
//go:wasmexport render
func renderRequest() uint64 {
	output = answer(input)
	return uint64(uintptr(unsafe.Pointer(&output[0])))<<32 | uint64(len(output))
}

func answer(message []byte) (out []byte) {
	defer func() {
		if thrown := recover(); thrown != nil {
			// The text of a panic may hold a piece of the input: only its type leaves.
			out = encodeResult(result{Errors: []ruleError{{Code: codeInternal, Rule: "panic",
				Message: fmt.Sprintf("the renderer failed on this input (%T); this is a defect of Fairlead, please report it", thrown)}}}, nil)
		}
	}()
	r, files, err := decodeRequest(message)
	if err != nil {
		return encodeResult(result{Errors: []ruleError{{Code: codeInternal, Rule: "request", Message: "the renderer could not read its request"}}}, nil)
	}
	return encodeResult(render(r, files, func(name string, line int) {
		parsing.line = uint32(line)
		parsing.length = uint32(copy(parsing.name[:], name))
	}))
}
