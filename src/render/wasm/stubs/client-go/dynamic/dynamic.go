// Package dynamic stands in for that of client-go: every client is refused.
package dynamic

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// Interface gives access to one resource.
type Interface interface {
	Resource(resource schema.GroupVersionResource) NamespaceableResourceInterface
}

// ResourceInterface reads objects.
type ResourceInterface interface {
	Get(ctx context.Context, name string, options metav1.GetOptions, subresources ...string) (*unstructured.Unstructured, error)
	List(ctx context.Context, options metav1.ListOptions) (*unstructured.UnstructuredList, error)
}

// NamespaceableResourceInterface reads objects of a namespace.
type NamespaceableResourceInterface interface {
	Namespace(namespace string) ResourceInterface
	ResourceInterface
}

// NewForConfig always fails.
func NewForConfig(*rest.Config) (Interface, error) {
	return nil, errors.New("a render has no cluster")
}
