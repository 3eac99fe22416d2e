// Package shell contains upload.sh, which uploads files of any size from a
// shell.
package shell
