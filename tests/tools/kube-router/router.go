// Package router names the program that enforces network policies, so that go.mod and go.sum hold its versions.
package router

import (
	_ "github.com/cloudnativelabs/kube-router/v2/pkg/cmd"
)
