// Package node is the agent of one node: it makes the pods bound to the node
// real and reports how they are.
package node
