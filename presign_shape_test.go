package presign_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// failingFunctions returns the names of exported functions and methods that can
// fail: the last result is an error, an option or a provider of credentials.
func failingFunctions(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(gotoken.NewFileSet(), file.Name(), nil, 0)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Type.Results == nil {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				receiver := f.Recv.List[0].Type
				if star, ok := receiver.(*ast.StarExpr); ok {
					receiver = star.X
				}
				if !ast.IsExported(receiver.(*ast.Ident).Name) {
					continue
				}
				name = receiver.(*ast.Ident).Name + "." + name
			}
			results := f.Type.Results.List
			switch result := results[len(results)-1].Type.(type) {
			case *ast.Ident:
				if result.Name == "error" || strings.HasSuffix(result.Name, "Option") {
					names = append(names, name)
				}
			case *ast.SelectorExpr:
				if result.Sel.Name == "CredentialsProvider" {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// requirePublic checks that no error in the tree of err has a type that callers
// cannot name.
func requirePublic(t *testing.T, err error, about string) {
	t.Helper()
	if err == nil {
		return
	}
	named := reflect.TypeOf(err)
	if named.Kind() == reflect.Pointer {
		named = named.Elem()
	}
	require.NotContains(t, named.PkgPath(), "s3presign/presign/internal/",
		"%s must not return a %T: %v", about, err, err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		requirePublic(t, e.Unwrap(), about)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			requirePublic(t, err, about)
		}
	}
}

// TestErrorsHaveNoInternalType checks that the errors of all exported functions
// have types that callers can name.
func TestErrorsHaveNoInternalType(t *testing.T) {
	policy := multipartPolicy()
	policy.Checksum = ""
	s := open(t, s3test.New(), policy)
	ctx := t.Context()
	bad := presign.Upload{Key: "x", Filename: "a/b", Type: "x", Size: -1, Lifetime: -1,
		Checksum: "x", Owner: strings.Repeat("o", 129),
		Metadata: map[string]string{"x": "", "color": ""}, Redirect: "x"}
	one := presign.Upload{Filename: "a.png", Size: int64(len(png)), Owner: "alice"}
	broken := newSigner(t, images(), presign.WithSecret(secret))
	expiring := signerWith(t, &provider{lifetime: time.Second}, time.Minute)
	failing := signerWith(t, &provider{err: errors.New("no route to STS")}, time.Minute)
	start := func(u presign.Upload) *presign.Multipart {
		m, err := s.StartMultipart(ctx, u)
		require.NoError(t, err)
		return m
	}
	unsized := one
	unsized.Size = 0
	// callWithFaults calls f once without a fault, and once for each fault of
	// the store.
	callWithFaults := func(f func() error) []error {
		errs := []error{f()}
		for _, fault := range []s3test.Fault{s3test.AccessDenied, s3test.Cut} {
			s.store.Fail(func(string, *http.Request) s3test.Fault { return fault })
			errs = append(errs, f())
			s.store.Fail(nil)
		}
		return errs
	}
	complete := func(u presign.Upload, content []byte) error {
		grant := s.upload(t, u, u.Key == "", content, nil)
		_, err := s.Complete(ctx, "alice", grant.Key)
		return err
	}
	signerOption := func(opt presign.SignerOption) error {
		_, err := presign.NewSigner(newClient(), "bucket", images(), opt)
		return err
	}
	handlerOption := func(opts ...presign.HandlerOption) error {
		_, err := presign.NewHandler(broken, user, opts...)
		return err
	}
	allow := func(*http.Request, *presign.Upload) error { return nil }

	calls := map[string]func() []error{
		"NewSigner": func() []error {
			_, err := presign.NewSigner(nil, "", presign.Policy{
				Prefix: "//", Types: []string{"x"},
				Headers: map[string]string{"Host": "a", "x-amz-tagging": "a=1&a=2"},
			})
			_, second := presign.NewSigner(newClient(), "a/b", images())
			return []error{err, second, signerOption(nil)}
		},
		"NewHandler": func() []error { return []error{handlerOption(nil)} },
		"WithStore":  func() []error { return []error{signerOption(presign.WithStore(nil))} },
		"WithSecret": func() []error {
			return []error{signerOption(presign.WithSecret()),
				signerOption(presign.WithSecret([]byte("short"), nil))}
		},
		"WithPublicEndpoint": func() []error {
			return []error{signerOption(presign.WithPublicEndpoint("")),
				signerOption(presign.WithPublicEndpoint("x"))}
		},
		"WithoutForms": func() []error {
			_, err := newSigner(t, images(), presign.WithoutForms()).Post(ctx,
				presign.Upload{Filename: "a.png"})
			return []error{err}
		},
		"WithLogger": func() []error { return []error{signerOption(presign.WithLogger(nil))} },
		"WithOnComplete": func() []error {
			return []error{signerOption(presign.WithOnComplete(nil))}
		},
		"WithInspect": func() []error {
			return []error{signerOption(presign.WithInspect(nil))}
		},
		"WithObserver": func() []error { return []error{signerOption(presign.WithObserver(nil))} },
		"WithProfile": func() []error {
			return []error{signerOption(presign.WithProfile([]byte("{}")))}
		},
		"Signer.CompleteNotification": func() []error {
			evil := s.upload(t, one, false, png, nil)
			event := func(bucket, key string) []byte {
				return fmt.Appendf(nil, `{"Records": [{"eventName": "ObjectCreated:Put", `+
					`"s3": {"bucket": {"name": %q}, "object": {"key": %q}}}]}`, bucket, key)
			}
			s.store.Fail(func(string, *http.Request) s3test.Fault { return s3test.AccessDenied })
			denied := s.CompleteNotification(ctx, event(s3test.DefaultBucket, evil.Key))
			s.store.Fail(nil)
			return []error{
				denied, s.CompleteNotification(ctx, event("other", evil.Key)),
				s.CompleteNotification(ctx, []byte("{}")),
				new(presign.Signer).CompleteNotification(ctx, nil),
			}
		},
		"Signer.Sweep": func() []error {
			s.store.Fail(func(string, *http.Request) s3test.Fault { return s3test.AccessDenied })
			defer s.store.Fail(nil)
			return []error{s.Sweep(ctx), broken.Sweep(ctx), new(presign.Signer).Sweep(ctx)}
		},
		"Signer.Shutdown": func() []error { return []error{new(presign.Signer).Shutdown(ctx)} },
		"Object.Open": func() []error {
			grant := s.upload(t, one, false, png, nil)
			object, err := s.Complete(ctx, "alice", grant.Key)
			require.NoError(t, err)
			require.NoError(t, deleteObject(s.store, object.Key))
			return append(callWithFaults(func() error {
				_, err := object.Open(ctx)
				return err
			}), func() error {
				_, err := new(presign.Object).Open(ctx)
				return err
			}())
		},
		"WithAuthorize": func() []error {
			return []error{handlerOption(presign.WithAuthorize(nil)),
				handlerOption(presign.WithAuthorize(allow), presign.WithAuthorize(allow))}
		},
		"WithUppy": func() []error {
			return []error{handlerOption(presign.WithUppy("example.com"))}
		},
		"EnvFile": func() []error {
			_, err := presign.EnvFile("no-such-file", slog.New(slog.DiscardHandler)).Retrieve(ctx)
			return []error{err}
		},
		"AssumeRole": func() []error {
			_, err := presign.AssumeRole(nil, roleARN, slog.New(slog.DiscardHandler)).Retrieve(ctx)
			return []error{err}
		},
		"Signer.Put": func() (errs []error) {
			for _, signer := range []*presign.Signer{
				new(presign.Signer), broken, expiring, failing,
			} {
				_, err := signer.Put(ctx, bad)
				errs = append(errs, err)
			}
			for _, signer := range []*presign.Signer{expiring, failing} {
				_, err := signer.Put(ctx, presign.Upload{Filename: "a.png", Size: 10})
				errs = append(errs, err)
			}
			_, err := broken.Put(ctx, presign.Upload{
				Filename: "a.png", Key: "uploads/" + strings.Repeat("k", 1010) + "/", Size: 10,
			})
			return append(errs, err)
		},
		"Signer.Post": func() (errs []error) {
			for _, signer := range []*presign.Signer{new(presign.Signer), broken, expiring} {
				_, err := signer.Post(ctx, bad)
				errs = append(errs, err)
			}
			_, err := failing.Post(ctx, presign.Upload{Filename: "a.png"})
			return append(errs, err)
		},
		"Signer.StartMultipart": func() (errs []error) {
			_, noOwner := s.StartMultipart(ctx, presign.Upload{Filename: "a.png"})
			_, invalid := s.StartMultipart(ctx, bad)
			return append(callWithFaults(func() error {
				_, err := s.StartMultipart(ctx, one)
				return err
			})[1:], noOwner, invalid)
		},
		"Signer.ResumeMultipart": func() []error {
			_, noOwner := s.ResumeMultipart("", "A")
			_, unknown := s.ResumeMultipart("alice", "A")
			_, foreign := s.ResumeMultipart("bob", start(one).ID)
			return []error{noOwner, unknown, foreign}
		},
		"Signer.Complete": func() []error {
			_, noOwner := s.Complete(ctx, "", "x")
			_, outside := s.Complete(ctx, "alice", "x")
			taken := complete(presign.Upload{Key: "incoming/a.png", Owner: "alice"}, png)
			require.NoError(t, taken)
			taken = complete(presign.Upload{Key: "incoming/a.png", Owner: "alice"},
				append(bytes.Clone(png), 1))
			rejected := complete(presign.Upload{Filename: "a.png", Owner: "alice"},
				[]byte("<html><script>"))
			require.ErrorAs(t, rejected, new(*presign.RejectedError))
			require.ErrorAs(t, taken, new(*presign.RejectedError))
			return append(callWithFaults(func() error {
				_, err := s.Complete(ctx, "alice", "incoming/b.png")
				return err
			}), noOwner, outside, taken, rejected)
		},
		"Signer.CompleteForAnyOwner": func() []error {
			return callWithFaults(func() error {
				_, err := s.CompleteForAnyOwner(ctx, "incoming/b.png")
				return err
			})
		},
		"Grant.Request": func() []error {
			_, method := presign.Grant{}.Request(ctx, nil, 0)
			_, address := presign.Grant{Method: "PUT", URL: "x"}.
				Request(ctx, bytes.NewReader(png), 1)
			r, err := presign.Grant{Method: "PUT", URL: "https://a.example/"}.
				Request(ctx, bytes.NewReader(png), int64(len(png))+1)
			require.NoError(t, err)
			_, short := new(bytes.Buffer).ReadFrom(r.Body)
			return []error{method, address, short}
		},
		"Multipart.SignPart": func() []error {
			m, large := start(one), start(unsized)
			return append(callWithFaults(func() error {
				_, err := large.SignPart(ctx, presign.Part{Number: 1})
				return err
			})[1:], callWithFaults(func() error {
				_, err := m.SignPart(ctx, presign.Part{Number: -1, Checksum: "x"})
				return err
			})[0], func() error {
				_, err := new(presign.Multipart).SignPart(ctx, presign.Part{})
				return err
			}())
		},
		"Multipart.SignParts": func() []error {
			m := start(one)
			_, _, order := m.SignParts(ctx, 2, 1)
			_, _, beyond := m.SignParts(ctx, 1, 10_000)
			_, _, zero := new(presign.Multipart).SignParts(ctx, 1, 1)
			return []error{order, beyond, zero}
		},
		"Multipart.ListParts": func() []error {
			m := start(one)
			require.NoError(t, m.Abort(ctx))
			return callWithFaults(func() error {
				_, err := m.ListParts(ctx)
				return err
			})
		},
		"Multipart.Complete": func() []error {
			m, evil, huge := start(one), start(unsized),
				start(presign.Upload{Filename: "a.png", Owner: "alice", MaxSize: 10})
			s.putAll(t, evil, []byte("<html><script>"))
			_, rejected := evil.Complete(ctx, nil)
			require.ErrorAs(t, rejected, new(*presign.RejectedError))
			s.putAll(t, huge, png)
			_, aborted := huge.Complete(ctx, nil)
			_, gone := huge.Complete(ctx, nil)
			return append(callWithFaults(func() error {
				_, err := m.Complete(ctx, []presign.Part{{Number: 7}})
				return err
			}), rejected, aborted, gone)
		},
		"Multipart.Abort": func() []error {
			m := start(one)
			return append(callWithFaults(func() error { return m.Abort(ctx) })[1:],
				new(presign.Multipart).Abort(ctx))
		},
		"Problem.MarshalJSON": nil, // MarshalJSON always returns a nil error.
	}
	require.Equal(t, failingFunctions(t), slices.Sorted(maps.Keys(calls)))
	for name, call := range calls {
		if call == nil {
			continue
		}
		for i, err := range call() {
			require.Error(t, err, "%s, error %d", name, i)
			requirePublic(t, searchError(t, err), name)
			require.NotNil(t, presign.ProblemOf(err))
		}
	}
}

// TestStructsForbidUnkeyedLiterals checks that callers must name the fields of
// structs that they fill in, so that new fields do not break their code.
func TestStructsForbidUnkeyedLiterals(t *testing.T) {
	for _, filled := range []reflect.Type{
		reflect.TypeFor[presign.Policy](), reflect.TypeFor[presign.Upload](),
		reflect.TypeFor[presign.Part](), reflect.TypeFor[presign.Problem](),
	} {
		field, ok := filled.FieldByName("_")
		require.True(t, ok, filled)
		require.Equal(t, reflect.TypeFor[struct{}](), field.Type, filled)
		require.False(t, field.IsExported(), filled)
	}
}

// secretsOf returns the secrets, in several encodings, that printing must not
// reveal.
func secretsOf(t *testing.T, grants ...*presign.Grant) (secrets []string) {
	t.Helper()
	for _, g := range grants {
		signature := g.Fields["x-amz-signature"]
		if g.Method == "PUT" {
			signature = query(t, g).Get("X-Amz-Signature")
		}
		require.Len(t, signature, 64)
		secrets = append(secrets, signature)
	}
	secrets = append(secrets, session.SecretAccessKey, session.SessionToken, string(secret))
	for _, s := range slices.Clone(secrets) {
		secrets = append(secrets, hex.EncodeToString([]byte(s)),
			strings.ToUpper(hex.EncodeToString([]byte(s))), s[:12],
			strings.Trim(fmt.Sprint([]byte(s)), "[]"),
			strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(s)), "[]byte{"), "}"))
	}
	return secrets
}

// TestPrintingRevealsNoSecret checks that values that hold secrets do not
// reveal them if they are printed, logged or marshaled, alone or inside other
// values.
func TestPrintingRevealsNoSecret(t *testing.T) {
	s := open(t, s3test.New(), multipartPolicy())
	signer := s.Signer
	handler, err := presign.NewHandler(signer, user, presign.WithUppy())
	require.NoError(t, err)
	u := presign.Upload{Filename: "a.png", Size: int64(len(png)), Owner: "alice"}
	put, err := signer.Put(t.Context(), u)
	require.NoError(t, err)
	form, err := signer.Post(t.Context(), u)
	require.NoError(t, err)
	m, err := signer.StartMultipart(t.Context(), u)
	require.NoError(t, err)
	part, err := m.SignPart(t.Context(), presign.Part{Number: 1})
	require.NoError(t, err)
	secrets := secretsOf(t, put, form, part)

	for _, v := range []any{
		signer, *signer, handler, *handler, put, *put, form, *form, part, *part, m, *m,
	} {
		_, isGrant := v.(presign.Grant)
		_, isGrantPointer := v.(*presign.Grant)
		isGrant = isGrant || isGrantPointer
		slice := reflect.MakeSlice(reflect.SliceOf(reflect.TypeOf(v)), 0, 1)
		nested := map[string]any{
			"alone": v, "struct": struct{ V any }{v},
			"slice": []any{v}, "typed slice": reflect.Append(slice, reflect.ValueOf(v)).Interface(),
			"map": map[string]any{"v": v}, "pointer to a struct": &struct{ V any }{v},
			"typed struct": typedStruct(v, "V"),
		}
		// Package fmt cannot call the methods of a Grant in an unexported
		// field.
		if !isGrant {
			nested["unexported field"] = struct{ v any }{v}
		}
		for where, value := range nested {
			about := fmt.Sprintf("%T, %s", v, where)
			require.NotPanics(t, func() { _ = fmt.Sprint(value) }, about)
			for _, verb := range []string{
				"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "% x", "%t", "%e", "%U",
			} {
				requireNoSecret(t, fmt.Sprintf(verb, value), secrets, about+" "+verb)
			}
			requireNoSecret(t, fmt.Sprintln(value), secrets, about)
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", value)
			// A Grant inside another value is marshaled with its URL.
			if !isGrant || where == "alone" {
				slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", value)
			}
			requireNoSecret(t, log.String(), secrets, about+" in a log")
			if text, err := json.Marshal(value); err == nil && !isGrant {
				requireNoSecret(t, string(text), secrets, about+" in JSON")
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		require.Equal(t, "presign.Signer(bucket/incoming/)", fmt.Sprintf(verb, signer))
		require.Equal(t, "presign.Handler(presign.Signer(bucket/incoming/))",
			fmt.Sprintf(verb, handler))
	}
	require.Contains(t, fmt.Sprint(put), put.Key)
	require.Contains(t, fmt.Sprint(m), m.Key)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", m, *m, []any{m}), m.ID)
}

// typedStruct returns a struct with one field of the type of v.
func typedStruct(v any, name string) any {
	field := reflect.StructField{Name: name, Type: reflect.TypeOf(v)}
	s := reflect.New(reflect.StructOf([]reflect.StructField{field})).Elem()
	s.Field(0).Set(reflect.ValueOf(v))
	return s.Interface()
}

// requireNoSecret checks that a text contains none of the secrets.
func requireNoSecret(t *testing.T, text string, secrets []string, about string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Fatalf("%s must not reveal %q: %s", about, s, text)
		}
	}
}

// TestZeroValuesReturnErrors checks that methods of zero values and nil
// pointers return errors and do not panic.
func TestZeroValuesReturnErrors(t *testing.T) {
	upload := presign.Upload{Filename: "a.png", Size: 10, Owner: "alice"}
	arguments := map[reflect.Type]any{
		reflect.TypeFor[context.Context]():     t.Context(),
		reflect.TypeFor[string]():              "x",
		reflect.TypeFor[int]():                 1,
		reflect.TypeFor[presign.Upload]():      upload,
		reflect.TypeFor[presign.Part]():        presign.Part{Number: 1},
		reflect.TypeFor[[]presign.Part]():      []presign.Part{{Number: 1}},
		reflect.TypeFor[rune]():                'v',
		reflect.TypeFor[[]byte]():              []byte("{}"),
		reflect.TypeFor[fmt.State]():           state{},
		reflect.TypeFor[http.ResponseWriter](): nil,
		reflect.TypeFor[*http.Request]():       nil,
	}
	for _, zero := range []any{
		new(presign.Signer), (*presign.Signer)(nil), new(presign.Handler),
		(*presign.Handler)(nil), new(presign.Multipart),
	} {
		v := reflect.ValueOf(zero)
		require.NotZero(t, v.NumMethod())
		for i := range v.NumMethod() {
			method, name := v.Method(i), fmt.Sprintf("%T.%s", zero, v.Type().Method(i).Name)
			w, r := httptest.NewRecorder(), jsonRequest(`{"filename": "a.png", "size": 10}`)
			var in []reflect.Value
			for j := range method.Type().NumIn() {
				argument, ok := arguments[method.Type().In(j)]
				require.True(t, ok, "arguments must have a %v for %s",
					method.Type().In(j), name)
				switch method.Type().In(j) {
				case reflect.TypeFor[http.ResponseWriter]():
					argument = w
				case reflect.TypeFor[*http.Request]():
					argument = r
				}
				in = append(in, reflect.ValueOf(argument))
			}
			var out []reflect.Value
			require.NotPanics(t, func() { out = method.Call(in) }, name)
			if last := len(out) - 1; last >= 0 &&
				method.Type().Out(last) == reflect.TypeFor[error]() {
				err, _ := out[last].Interface().(error)
				require.Error(t, err, name)
				requirePublic(t, err, name)
				require.True(t, strings.HasPrefix(err.Error(), "presign: "), err)
			}
			if strings.HasSuffix(name, "ServeHTTP") {
				requireProblem(t, w, 500)
			}
		}
	}
	_, err := presign.NewHandler(new(presign.Signer), user)
	require.EqualError(t, err, "presign: the Signer must come from NewSigner")
	_, err = presign.Grant{}.Request(t.Context(), bytes.NewReader(png), 1)
	require.Error(t, err)
	w := httptest.NewRecorder()
	new(presign.Problem).ServeHTTP(w, nil)
	require.Equal(t, 500, w.Code)
	require.NotPanics(t, func() {
		_ = fmt.Sprint(new(presign.Problem), new(presign.Violation), new(presign.RejectedError),
			presign.Multipart{}, presign.Grant{})
	})
	require.Nil(t, presign.ProblemOf(nil))
	require.Empty(t, presign.Violations(nil))
}

// A state discards the output of a fmt.Formatter.
type state struct{}

func (state) Write(b []byte) (int, error) { return len(b), nil }
func (state) Width() (int, bool)          { return 0, false }
func (state) Precision() (int, bool)      { return 0, false }
func (state) Flag(int) bool               { return false }

// TestOneRecordPerRequest checks that a request that is not served is logged
// once, with the level, status and fields that identify it.
func TestOneRecordPerRequest(t *testing.T) {
	store := s3test.New()
	var log bytes.Buffer
	down := false
	client := store.S3(inSession, func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	store.AddCredentials(session)
	signer, err := presign.NewSigner(client, s3test.DefaultBucket, multipartPolicy(),
		presign.WithSecret(secret),
		presign.WithStore(store.S3(func(o *s3.Options) { o.RetryMaxAttempts = 1 })),
		presign.WithLogger(newLog(t, &log)))
	require.NoError(t, err)
	handler, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		if down {
			return "", errors.New("the session store is down")
		}
		return user(r)
	}, presign.WithUppy(), presign.WithAuthorize(func(_ *http.Request, u *presign.Upload) error {
		if u.Filename == "outage.png" {
			return errors.New("the quota store is down")
		}
		return nil
	}))
	require.NoError(t, err)
	s := shop{signer, store, &log}
	evil := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true,
		[]byte("<html><script>"), nil)
	m, err := signer.StartMultipart(t.Context(), presign.Upload{Filename: "a.png", Owner: "alice"})
	require.NoError(t, err)
	request := func(method, path, body string) *http.Request {
		r := completeRequest("alice", body)
		r.Method, r.URL.Path = method, path
		return r
	}
	disconnected, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
		want    []string
		before  func()
	}{
		{"unknown path", request("POST", "/x", ""), 404, nil, nil},
		{"unsupported method", request("PUT", "/", ""), 405, nil, nil},
		{"no user", completeRequest("", `{"key": "a"}`), 401, nil, nil},
		{"no body", request("POST", "/", ""), 400, []string{"owner=alice"}, nil},
		{"invalid body", request("POST", "/", `{"filename": 1}`), 400,
			[]string{"owner=alice", "field=filename"}, nil},
		{"violation", request("POST", "/", `{"filename": "a.html", "size": 10}`), 422,
			[]string{"owner=alice", "grant_id=", "field=type"}, nil},
		{"foreign key", request("POST", "/complete", `{"key": "incoming/b.png"}`), 404,
			[]string{"owner=alice", "key=incoming/b.png"}, nil},
		{"rejected", request("POST", "/complete", `{"key": "`+evil.Key+`"}`), 422, []string{
			"owner=alice", "key=" + evil.Key, "grant_id=" + evil.GrantID, "field=type",
		}, nil},
		{"no key of a multipart upload", request("GET", "/s3/multipart/"+m.ID+"/10000", ""), 404,
			[]string{"owner=alice", "key=" + m.Key, "grant_id=" + m.GrantID}, nil},
		{"outage of the quota store",
			request("POST", "/", `{"filename": "outage.png", "size": 10}`), 500,
			[]string{"owner=alice", "grant_id=", "the quota store is down"}, nil},
		{"outage of the store", request("POST", "/complete", `{"key": "incoming/b.png"}`), 502,
			[]string{"owner=alice", "key=incoming/b.png"}, func() {
				store.Fail(func(string, *http.Request) s3test.Fault { return s3test.AccessDenied })
			}},
		{"client has disconnected",
			request("POST", "/complete", `{"key": "incoming/b.png"}`).WithContext(disconnected),
			503, []string{"owner=alice"}, func() { store.Fail(nil) }},
		{"outage of the session store", request("POST", "/", ""), 500,
			[]string{"the session store is down"}, func() { down = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				c.before()
			}
			log.Reset()
			requireProblem(t, serve(t, handler, c.request), c.status)
			level := "INFO"
			if c.status >= 500 && c.request.Context().Err() == nil {
				level = "ERROR"
			}
			require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
			require.Contains(t, log.String(), fmt.Sprintf(
				`level=%s msg="presign: request not served" status=%d`, level, c.status))
			for _, want := range append(c.want, "error=") {
				require.Contains(t, log.String(), want)
			}
		})
	}
}
