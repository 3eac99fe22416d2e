package credential

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseReadsLines(t *testing.T) {
	ends := time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		content string
		want    Credentials
	}{
		"short names":          {"ACCESS=id\nSECRET=se/cr+et\nTOKEN=to/k+en==\n", Credentials{ID: "id", Secret: "se/cr+et", Token: "to/k+en=="}},
		"long names":           {"AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=s\nAWS_SESSION_TOKEN=t\n", Credentials{ID: "id", Secret: "s", Token: "t"}},
		"short names, session": {"ACCESS_SESS=id\nSECRET_SESS=s\nTOKEN_SESS=t\nEXPIRATION_SESS=2026-01-31T18:00:00Z", Credentials{"id", "s", "t", ends}},
		"long names, session":  {"AWS_ACCESS_KEY_ID_SESS=id\nAWS_SECRET_ACCESS_KEY_SESS=s\nAWS_SESSION_TOKEN_SESS=t\n", Credentials{ID: "id", Secret: "s", Token: "t"}},
		"no token":             {"ACCESS=id\nSECRET=s", Credentials{ID: "id", Secret: "s"}},
		"empty token":          {"ACCESS=id\nSECRET=s\nTOKEN=\nAWS_SESSION_TOKEN=''\nEXPIRATION=\n", Credentials{ID: "id", Secret: "s"}},
		"expiry":               {"ACCESS=id\nSECRET=s\nEXPIRATION=2026-01-31T18:00:00Z", Credentials{ID: "id", Secret: "s", Expires: ends}},
		"expiry, long name":    {"ACCESS=id\nSECRET=s\nAWS_CREDENTIAL_EXPIRATION=2026-01-31T19:00:00+01:00", Credentials{ID: "id", Secret: "s", Expires: ends}},
		"the same expiry twice": {"ACCESS=id\nSECRET=s\nEXPIRATION=2026-01-31T18:00:00Z\nAWS_CREDENTIAL_EXPIRATION=2026-01-31T18:00:00.000+00:00",
			Credentials{ID: "id", Secret: "s", Expires: ends}},
		"the same by many names": {"ACCESS=id\nACCESS=id\nAWS_ACCESS_KEY_ID=id\nACCESS_SESS=id\nSECRET=s\nAWS_SECRET_ACCESS_KEY='s'", Credentials{ID: "id", Secret: "s"}},
		"names of both kinds":    {"ACCESS=id\nAWS_SECRET_ACCESS_KEY=s\nTOKEN_SESS=t", Credentials{ID: "id", Secret: "s", Token: "t"}},
		"export":                 {"export ACCESS=id\nexport\tSECRET=s\nexport ACCESS SECRET\n", Credentials{ID: "id", Secret: "s"}},
		"quotes":                 {"ACCESS='i\"d'\nSECRET=\"s 'e\\\"\\\\\\$\\`\\n\"\n", Credentials{ID: `i"d`, Secret: "s 'e\"\\$`\\n"}},
		"nothing is expanded":    {"ACCESS=$HOME\nSECRET=\"$(id)`id`\"", Credentials{ID: "$HOME", Secret: "$(id)`id`"}},
		"comments":               {"# a=b\n  # c\nACCESS=id # ACCESS=b\nSECRET='s' # c\nTOKEN= # none\n#", Credentials{ID: "id", Secret: "s"}},
		"a # in a value":         {"ACCESS=i#d\nSECRET=#s", Credentials{ID: "i#d", Secret: "#s"}},
		"CRLF, BOM, spaces":      {"\ufeffACCESS = id \r\n\r\n\tSECRET=\ts\t\r\nTOKEN=\"t\"\r\n", Credentials{ID: "id", Secret: "s", Token: "t"}},
		"other names":            {"AWS_REGION=eu-central-1\nACCESS=id\nSECRET=s\naccess=x\nACCESS_KEY=y\nNOTE=it's \"fine\nSESS=ß\n", Credentials{ID: "id", Secret: "s"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(c.content))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestParseRejects(t *testing.T) {
	const good = "ACCESS=value1\nSECRET=value2\n"
	for content, want := range map[string]string{
		"":                                "the file must have ACCESS or AWS_ACCESS_KEY_ID and SECRET or AWS_SECRET_ACCESS_KEY",
		"ACCESS=value1":                   "the file must have SECRET or AWS_SECRET_ACCESS_KEY",
		"ACCESS=\nSECRET=value2":          "the file must have ACCESS or AWS_ACCESS_KEY_ID",
		good + "AWS_ACCESS_KEY_ID=value3": "ACCESS (line 1) and AWS_ACCESS_KEY_ID (line 3) must have the same value",
		good + "\nSECRET_SESS=value3":     "SECRET (line 2) and SECRET_SESS (line 4) must have the same value",
		good + "ACCESS=value3":            "ACCESS (line 1) and ACCESS (line 3) must have the same value",
		good + "TOKEN=value3\nAWS_SESSION_TOKEN=value4": "TOKEN (line 3) and AWS_SESSION_TOKEN (line 4) must have the same value",
		good + "EXPIRATION=value3":                      "line 3: the value of EXPIRATION must be a time in the form of RFC 3339, such as 2026-01-31T18:00:00Z",
		good + "AWS_CREDENTIAL_EXPIRATION=2026-01-31":   "line 3: the value of AWS_CREDENTIAL_EXPIRATION must be a time in the form of RFC 3339, such as 2026-01-31T18:00:00Z",
		good + "EXPIRATION=0001-01-01T00:00:00Z":        "line 3: the value of EXPIRATION must be a time in the form of RFC 3339, such as 2026-01-31T18:00:00Z",
		good + "TOKEN=value3\nvalue4/rest+of=the+token": "line 4 must have the form NAME=value",
		good + "value3":                                      "line 3 must have the form NAME=value",
		good + "=value3":                                     "line 3 must have the form NAME=value",
		"ACCESS=value1 SECRET=value2":                        "line 1: the value of ACCESS must be in quotes if it has a space",
		"ACCESS='value1\nSECRET=value2'":                     "line 1: the value of ACCESS must have a closing quote",
		"ACCESS=\"value1\\\"":                                "line 1: the value of ACCESS must have a closing quote",
		"ACCESS='value1'value2":                              "line 1: the value of ACCESS must end at its closing quote",
		"ACCESS='value1'#value2":                             "line 1: the value of ACCESS must end at its closing quote",
		"ACCESS=“value1”\nSECRET=value2":                     "line 1: the value of ACCESS must be printable ASCII without outer spaces",
		"ACCESS=' value1'\nSECRET=value2":                    "line 1: the value of ACCESS must be printable ASCII without outer spaces",
		"ACCESS=value1\nSECRET=value2\x00\x00\x00":           "line 2: the value of SECRET must be printable ASCII without outer spaces",
		"ACCESS=value1\rSECRET=value2":                       "line 1: the value of ACCESS must be printable ASCII without outer spaces",
		"\xff\xfeA\x00C\x00C\x00E\x00S\x00S\x00=\x00v\x00\n": "the file must be UTF-8 text",
	} {
		got, err := Parse([]byte(content))
		require.EqualError(t, err, want, "%q", content)
		require.Zero(t, got)
	}
}

// errorForm matches every error of Parse, and no error that contains a value.
var errorForm = regexp.MustCompile(strings.ReplaceAll(
	`^(the file must be UTF-8 text|line \d+ must have the form NAME=value`+
		`|the file must have `+
		`(( and )?(ACCESS or AWS_ACCESS_KEY_ID|SECRET or AWS_SECRET_ACCESS_KEY))+`+
		`|NAMED \(line \d+\) and NAMED \(line \d+\) must have the same value`+
		`|line \d+: the value of NAMED `+
		`(must have a closing quote|must be in quotes if it has a space`+
		`|must end at its closing quote|must be printable ASCII without outer spaces`+
		`|must be a time in the form of RFC 3339, such as 2026-01-31T18:00:00Z))$`, "NAMED",
	`(ACCESS|SECRET|TOKEN|EXPIRATION|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|CREDENTIAL_EXPIRATION))(_SESS)?`))

// FuzzParse checks that errors contain no value, that accepted credentials can
// sign, and that they are parsed again if they are written to a file.
func FuzzParse(f *testing.F) {
	f.Add([]byte("ACCESS=id\nexport SECRET='s' # c\r\nTOKEN=\"t\\\"\"\nEXPIRATION=2026-01-31T18:00:00Z\n"))
	f.Add([]byte("\ufeffAWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY_SESS=s\nOTHER=x\n"))
	f.Add([]byte("ACCESS=a b\nACCESS=c"))
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := Parse(content)
		if err != nil {
			require.Regexp(t, errorForm, err.Error())
			require.Zero(t, c)
			return
		}
		require.NotEmpty(t, c.ID)
		require.NotEmpty(t, c.Secret)
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace
		written := "ACCESS=\"" + quote(c.ID) + "\"\nSECRET=\"" + quote(c.Secret) +
			"\"\nTOKEN=\"" + quote(c.Token) + "\"\n"
		if !c.Expires.IsZero() {
			written += "EXPIRATION=" + c.Expires.Format(time.RFC3339Nano) + "\n"
		}
		again, err := Parse([]byte(written))
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}
