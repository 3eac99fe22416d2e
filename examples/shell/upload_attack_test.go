//go:build unix

package shell

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// serveResponses starts a service or a store that returns texts by method and
// path. For other requests it returns an empty response.
func serveResponses(t *testing.T, texts map[string]string) (url string) {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost && r.URL.Path == "/" {
			w.WriteHeader(http.StatusCreated)
		}
		_, _ = io.WriteString(w, texts[r.Method+" "+r.URL.Path])
	})
}

// A hostileService describes the responses of a service and the error of the
// script.
type hostileService struct {
	large bool              // whether the file is large
	texts map[string]string // by method and path
	want  string            // the error, or empty
}

// hostileServices returns services that try to make the script write or read
// the file victim. The URL store is the URL of a store.
func hostileServices(store, victim string) map[string]hostileService {
	options := func(member, first string) string {
		output := "output = " + victim
		lines := []string{first, output, "url = " + store + "/payload", output, "#"}
		for i, line := range lines {
			lines[i] = fmt.Sprintf("%q:%q", member, line)
		}
		return strings.Join(lines, "\n")
	}
	const (
		notUnderstood = "the response of the service is invalid"
		noURL         = "the response of the service must have the URL of a store"
		noChecksum    = "the service requires a checksum that this script cannot compute: "
	)
	started := func(id, partSize string) map[string]string {
		return map[string]string{
			"POST /":           fmt.Sprintf(`{%s,"part_size":%s}`, id, partSize),
			"POST /parts/sign": fmt.Sprintf(`{"urls":[%q]}`, store),
		}
	}
	bounds := func(text string) map[string]string { return map[string]string{"GET /": text} }
	signed := func(text string) map[string]string {
		texts := started(`"id":"id"`, "9000000000")
		texts["POST /parts/sign"] = text
		return texts
	}
	grant := func(text string) map[string]string { return map[string]string{"POST /": text} }
	return map[string]hostileService{
		"lines of a key":       {false, grant(fmt.Sprintf("{%s,\n\"url\":%q}", options("key", "a"), store)), ""},
		"lines of a URL":       {false, grant(fmt.Sprintf("{%s}", options("url", store))), noURL},
		"lines of an ID":       {true, started(options("id", "id"), "9000000000"), notUnderstood},
		"lines of part URLs":   {true, signed(fmt.Sprintf(`{%s}`, options("urls", store))), noURL},
		"escape in a part URL": {true, signed(fmt.Sprintf(`{"urls":["%s\n"]}`, store)), notUnderstood},
		"file as a part URL":   {true, signed(fmt.Sprintf(`{"urls":["file://%s"]}`, victim)), noURL},
		"lines of a checksum":  {false, bounds(fmt.Sprintf(`{%s}`, options("checksum", "CRC32"))), noChecksum + "#"},
		"command":              {false, bounds(fmt.Sprintf(`{"checksum":"$(rm %s)"}`, victim)), noChecksum + "$(rm " + victim + ")"},
		"file as URL":          {false, grant(fmt.Sprintf(`{"key":"a","url":"file://%s"}`, victim)), noURL},
		"no URL":               {false, grant(`{"key":"a"}`), noURL},
		"another protocol":     {false, grant(fmt.Sprintf(`{"key":"a","url":"gopher://%s"}`, strings.TrimPrefix(store, "http://"))), noURL},
		"escape in a URL":      {false, grant(fmt.Sprintf(`{"key":"a","url":"%s\n"}`, store)), notUnderstood},
		"path as an ID":        {true, started(`"id":"../../x"`, "5242880"), notUnderstood},
		"no ID":                {true, started(`"id":""`, "5242880"), notUnderstood},
		"empty parts":          {true, started(`"id":"id"`, "0"), notUnderstood},
		"octal parts":          {true, started(`"id":"id"`, "05242880"), notUnderstood},
		"too many parts":       {true, started(`"id":"id"`, "1000"), notUnderstood},
		"enormous parts":       {true, started(`"id":"id"`, "18446744073709551617"), notUnderstood},
		"no part size":         {true, started(`"id":"id"`, `"x"`), notUnderstood},
	}
}

// TestHostileService checks that no service can make the script read or write
// files other than the uploaded file.
func TestHostileService(t *testing.T) {
	runInShells(t, func(t *testing.T, s *script) {
		victim := filepath.Join(t.TempDir(), "victim")
		store := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "payload")
		})
		small, large := write(t, "a.bin", 1000), write(t, "large.bin", 17*mib)
		for name, test := range hostileServices(store, victim) {
			t.Run(name, func(t *testing.T) {
				file := small
				if test.large {
					file = large
				}
				require.NoError(t, os.WriteFile(victim, []byte("victim"), 0o600))
				exit, _, stderr := s.run(serveResponses(t, test.texts), file)
				if test.want != "" {
					require.Equal(t, 1, exit)
					require.Equal(t, "upload.sh: "+test.want+"\n", stderr)
				} else {
					require.Zero(t, exit, stderr)
				}
				content, err := os.ReadFile(victim)
				require.NoError(t, err)
				require.Equal(t, "victim", string(content))
			})
		}
	})
}

// TestHostileHeaders checks that only valid headers of a grant are sent to the
// store.
func TestHostileHeaders(t *testing.T) {
	runInShells(t, func(t *testing.T, s *script) {
		secret := write(t, "secret: a", 10)
		for headers, want := range map[string]string{
			`{"X-A":"a, \"b\" \\ c","X-B":"b"}`:                            `a, "b" \ c`,
			"{\"X-A\":\"a\r\nX-B: b\"}":                                    "aX-B: b",
			`{"X-A":"a\r\nX-B: b"}`:                                        "",
			`{"X-A":"a","@` + strings.TrimSuffix(secret, ": a") + `":"a"}`: "",
			`{"X-A":"a","x\"\noutput":"a"}`:                                "",
		} {
			got := make(chan http.Header, 1)
			store := serve(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
			exit, _, stderr := s.run(serveResponses(t, map[string]string{
				"POST /":         fmt.Sprintf(`{"key":"a","headers":%s,"url":%q}`, headers, store),
				"POST /complete": "{}",
			}), write(t, "a.bin", 10))
			require.Zero(t, exit, stderr)
			header := <-got
			require.Equal(t, want, header.Get("X-A"), headers)
			require.Equal(t, strings.Contains(headers, `"X-B"`), header.Get("X-B") != "", headers)
		}
	})
}

// TestRedirected checks that neither the password nor the file is sent to the
// target of a redirect.
func TestRedirected(t *testing.T) {
	runInShells(t, func(t *testing.T, s *script) {
		// The user has enabled redirects for other requests.
		require.NoError(t,
			os.WriteFile(filepath.Join(s.home, ".curlrc"), []byte("location-trusted\n"), 0o600))
		var elsewhere atomic.Int32
		target := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
		redirects := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
		})
		path := write(t, "a.bin", 10)
		require.Equal(t, "upload.sh: the service returned status 307\n",
			s.runFailing("-u", "alice:secret", redirects, path))
		service := serveResponses(t, map[string]string{
			"POST /": fmt.Sprintf(`{"key":"a","url":%q}`, redirects),
		})
		require.Contains(t, s.runFailing("-u", "alice:secret", service, path),
			"the store returned status 307")
		require.Zero(t, elsewhere.Load())
	})
}

// TestTerminal checks that no text of the service or the store can control the
// terminal.
func TestTerminal(t *testing.T) {
	const escape = "a\x1b]0;b\x07\u009b31mc\x7fd"
	runInShells(t, func(t *testing.T, s *script) {
		path := write(t, "a.bin", 10)
		rejecting := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message":"`+escape+`"}`)
		})
		require.Equal(t, "upload.sh: a]0;b31mcd\n", s.runFailing(rejecting, path))

		store := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<Message>"+escape+"</Message>")
		})
		service := serveResponses(t, map[string]string{
			"POST /": fmt.Sprintf(`{"key":"a","url":%q}`, store),
		})
		stderr := s.runFailing(service, path)
		require.Equal(t, "upload.sh: the store returned status 403: a]0;b31mcd\n", stderr)

		store = serveResponses(t, nil)
		exit, stdout, _ := s.run(serveResponses(t, map[string]string{
			"POST /":         fmt.Sprintf(`{"key":"a","url":%q}`, store),
			"POST /complete": "{\"größer\":\"" + escape + "\"}\n",
		}), path)
		require.Zero(t, exit)
		require.Equal(t, "{\"größer\":\"a]0;b31mcd\"}\n", stdout)
	})
}

// TestUnreachable checks that a store that does not respond is reported.
func TestUnreachable(t *testing.T) {
	runInShells(t, func(t *testing.T, s *script) {
		gone := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		service := serveResponses(t, map[string]string{
			"POST /": fmt.Sprintf(`{"key":"a","url":%q}`, gone),
		})
		stderr := s.runFailing(service, write(t, "a.bin", 10))
		require.Regexp(t,
			`^no response, trying again\nupload.sh: the store returned status 000: curl: .*\n$`,
			stderr)
		require.Equal(t, []string{"1", "2", "4", "8"}, s.takeDelays())
	})
}

// TestWithoutCurl checks that a missing curl is reported without a delay.
func TestWithoutCurl(t *testing.T) {
	runInShells(t, func(t *testing.T, s *script) {
		for _, name := range []string{"sed", "grep", "tr", "wc", "mktemp", "stat", "rm", "cat"} {
			path, err := exec.LookPath(name)
			require.NoError(t, err)
			require.NoError(t, os.Symlink(path, filepath.Join(s.bin, name)))
		}
		s.env = append(s.env, "PATH="+s.bin)
		require.Equal(t, "upload.sh: curl must be installed\n",
			s.runFailing("http://127.0.0.1:1/uploads", write(t, "a.bin", 10)))
		require.Empty(t, s.takeDelays())
	})
}

// TestHostileState checks that the script resumes only from its own state, and
// neither runs nor overwrites other files.
func TestHostileState(t *testing.T) {
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		path := write(t, "large.bin", 17*mib)
		s.interrupt(path, syscall.SIGTERM)
		kept := s.state()
		for name, mode := range map[string]os.FileMode{kept: 0o600, s.states: 0o700} {
			info, err := os.Stat(name)
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode().Perm())
		}
		state, err := os.ReadFile(kept)
		require.NoError(t, err)
		lines := strings.Split(string(state), "\n")
		require.Len(t, lines, 6,
			"the state must have the file, the ID, the part size and two parts")

		victim := filepath.Join(t.TempDir(), "victim")
		for line, texts := range map[int][]string{
			1: {"", "../x"},
			2: {"0", "1", "x", "attempts[$(touch " + victim + ")]", "99999999999999999999"},
		} {
			for _, text := range texts {
				changed := append([]string{}, lines...)
				changed[line] = text
				require.NoError(t, os.WriteFile(kept, []byte(strings.Join(changed, "\n")), 0o600))
				var asked []string
				s.disturb(func(w http.ResponseWriter, r *http.Request) bool {
					asked = append(asked, r.Method+" "+r.URL.Path)
					w.WriteHeader(http.StatusForbidden)
					return false
				})
				s.runFailing(append(alice, s.url, path)...)
				require.Equal(t, []string{"GET /uploads/"}, asked,
					"%s: the upload must start again", text)
				require.NoFileExists(t, victim)
			}
		}

		s.disturb(nil)
		require.NoError(t, os.WriteFile(victim, []byte("victim"), 0o600))
		require.NoError(t, os.Remove(kept))
		require.NoError(t, os.Symlink(victim, kept))
		s.requireUploaded(path, alice...)
		content, err := os.ReadFile(victim)
		require.NoError(t, err)
		require.Equal(t, "victim", string(content))
	})
}

// TestFileChanges checks that no upload has parts of two versions of a file.
func TestFileChanges(t *testing.T) {
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		const want = "upload.sh: the file must not change during the upload; " +
			"run the same command again\n"
		change := func(path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte("other bytes, as many of them"), 6*mib)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			before := time.Now().Add(-time.Hour) // A change can make the file older.
			require.NoError(t, os.Chtimes(path, before, before))
		}
		for _, test := range []struct {
			size int64
			part int // the part at which the file changes; 0 is the grant
		}{{7 * mib, 0}, {17 * mib, 1}, {17 * mib, 4}} {
			path := write(t, "a.bin", test.size)
			var once atomic.Bool
			s.relay.Disturb(func(_ http.ResponseWriter, _ *http.Request, part int) bool {
				if part == test.part && once.CompareAndSwap(false, true) {
					change(path)
				}
				return true
			})
			s.disturb(func(_ http.ResponseWriter, r *http.Request) bool {
				if test.part == 0 && r.URL.Path == "/uploads/" && r.Method == http.MethodPost &&
					once.CompareAndSwap(false, true) {
					change(path)
				}
				return true
			})
			stderr := s.runFailing(append(alice, s.url, path)...)
			require.True(t, strings.HasSuffix(stderr, want), stderr)
			require.Len(t, s.relay.Arrived(), test.part, "no part must be sent after the change")
			s.requireUploaded(path, alice...)
			s.relay.Arrived()
		}
	})
}

// TestSecrets checks that no process has the credentials of the user in its
// arguments.
func TestSecrets(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: the test needs the list of processes under /proc")
	}
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		header := filepath.Join(t.TempDir(), "header")
		for _, test := range []struct {
			user, header, line string // %s is replaced by a secret
			// whether the secret is in an argument, to check the test itself
			seen bool
		}{
			{user: "alice:%s"},
			{header: "@" + header, line: "Authorization: Bearer %s"},
			{header: "Authorization: Bearer %s", seen: true},
		} {
			secret := rand.Text()
			with := func(text string) string { return strings.ReplaceAll(text, "%s", secret) }
			require.NoError(t, os.WriteFile(header, []byte(with(test.line)), 0o600))
			s.env = append(s.env, "UPLOAD_USER="+with(test.user))
			var arguments []string
			if test.header != "" {
				arguments = []string{"-H", with(test.header)}
			}
			var seen atomic.Bool
			s.disturb(func(w http.ResponseWriter, r *http.Request) bool {
				_, password, _ := r.BasicAuth()
				lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
				if password != secret && r.Header.Get("Authorization") != "Bearer "+secret ||
					err != nil || len(lines) < 3 {
					w.WriteHeader(http.StatusTeapot)
					return false
				}
				for _, line := range lines {
					if text, _ := os.ReadFile(line); strings.Contains(string(text), secret) {
						seen.Store(true)
					}
				}
				r.Header.Set("Authorization", "Bearer alice's")
				return true
			})
			s.requireUploaded(write(t, "a.bin", 10), arguments...)
			require.Equal(t, test.seen, seen.Load(), test)
		}
	})
}

// TestStalled checks that a request is repeated if the service or the store
// does not respond. The fake curl has shorter time limits.
func TestStalled(t *testing.T) {
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		script.addProgram("curl", `for a; do
	shift
	case $a in 60 | 360) a=2 ;; esac
	set -- "$@" "$a"
done
PATH=${PATH#*:} exec curl "$@"`)
		var stalled atomic.Int32
		stall := func(r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			stalled.Add(1)
			<-r.Context().Done()
			return false
		}
		s.disturb(func(_ http.ResponseWriter, r *http.Request) bool {
			return stalled.Load() > 0 || stall(r)
		})
		s.relay.Disturb(func(_ http.ResponseWriter, r *http.Request, part int) bool {
			return stalled.Load() > 1 || stall(r)
		})
		s.requireUploaded(write(t, "large.bin", 17*mib), alice...)
		require.Equal(t, int32(2), stalled.Load())
	})
}

// TestCompletion checks that the script repeats a failed completion if the
// upload might be complete.
func TestCompletion(t *testing.T) {
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		path := write(t, "large.bin", 17*mib)
		const pending = -409 // 409 with the code "pending"
		for _, test := range []struct {
			statuses []int
			slept    string
		}{
			{[]int{409, 409}, "1 2"},
			{[]int{504, 404}, "1 10"},
			{slices.Repeat([]int{pending}, 7), "1 2 4 8 1 2"},
		} {
			statuses := test.statuses
			// Requests are sequential.
			s.disturb(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/uploads/complete" || len(statuses) == 0 {
					return true
				}
				if statuses[0] == pending {
					presign.ProblemOf(presign.ErrPending).ServeHTTP(w, r)
				} else {
					w.WriteHeader(statuses[0])
				}
				statuses = statuses[1:]
				return false
			})
			s.requireUploaded(path, alice...)
			require.Empty(t, statuses)
			require.Equal(t, strings.Fields(test.slept), s.takeDelays())
		}

		// If the completion fails, the next run must not send the file again or
		// start another upload.
		s.relay.Arrived()
		s.disturb(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/uploads/complete" {
				w.WriteHeader(http.StatusBadGateway)
			}
			return r.URL.Path != "/uploads/complete"
		})
		for range 2 {
			require.Contains(t, s.runFailing(append(alice, s.url, path)...),
				"the service returned status "+strconv.Itoa(http.StatusBadGateway))
		}
		s.disturb(nil)
		s.requireUploaded(path, alice...)
		require.Equal(t, []int{1, 2, 3, 4}, s.relay.Arrived())
	})
}
