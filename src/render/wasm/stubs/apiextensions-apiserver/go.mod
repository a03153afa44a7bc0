// The part of k8s.io/apiextensions-apiserver that Helm links to learn which API versions there are; see ../client-go.
module k8s.io/apiextensions-apiserver

go 1.26.0
