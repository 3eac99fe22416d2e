package main

import "strings"

// curl returns commands that get a grant and upload with it, by PUT and, where there are forms, by form.
//
// A grant is JSON, and curl reads options from its standard input: tr puts each member on a line of its own, and sed
// makes options of the URL and of the headers or fields.
func curl(origin, token string, forms bool) string {
	grant := func(arguments, member, option string) string {
		return "curl -fsS " + origin + "/uploads/ -H 'Authorization: Bearer " + token + "' " + arguments +
			` | tr '{,}' '\n\n\n' | sed -n 's/^"url":/url=/p;/^"` + member + `"/,/^$/s/^"\([^"]*\)":"/` + option + `/p' | curl -sS -K - `
	}
	const answer = ` -w 'S3 answered %{http_code}\n'`
	commands := []string{
		grant("-d filename=hello.txt -d size=9", "headers", `header="\1: `) + "-X PUT --data-binary 'hello, S3'" + answer,
	}
	if forms {
		commands = append(commands,
			grant("-d filename=hello.txt -d max_size=100", "fields", `form-string="\1=`)+"-F 'file=hello, S3;filename=hello.txt'"+answer)
	}
	return strings.Join(commands, "\n\n")
}
