package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// addHeader adds a line "Name: value", or the lines of a file if value is @ and
// its name.
func addHeader(header http.Header, value string) error {
	path, ok := strings.CutPrefix(value, "@")
	if !ok {
		return addLine(header, value)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := addLine(header, line); err != nil {
			return fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	return nil
}

func addLine(header http.Header, line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return errors.New("a header must have a colon")
	}
	header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	return nil
}
