package presign_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// A timedWriter records when the response is sent.
type timedWriter struct {
	*httptest.ResponseRecorder
	store *s3test.Server
	sent  s3test.Moment
}

func (w *timedWriter) WriteHeader(status int) {
	w.sent = w.store.Now()
	w.ResponseRecorder.WriteHeader(status)
}

// A row describes the requests of one kind of completion.
type row struct {
	name  string
	count int
	depth int // sequential requests before the response

	options   []s3test.Option
	policy    func(*presign.Policy)
	signer    []presign.SignerOption
	form      bool
	multipart bool
	prepare   func(*testing.T, shop, *presign.Grant) // after the upload
	owner     string                                 // of the request; default: alice
	status    int                                    // default: 200
}

func withChecksum(p *presign.Policy) { p.Checksum = types.ChecksumAlgorithmCrc32c }
func withKMS(p *presign.Policy)      { p.Headers = kms }
func withReplace(p *presign.Policy)  { p.Replace = true }
func inPlace(p *presign.Policy)      { p.FinalPrefix = "" }

// inspectOption returns a WithInspect option that accepts all files. If reads
// is set, the function reads the whole file, as a scanner does.
func inspectOption(reads bool) []presign.SignerOption {
	inspect := func(ctx context.Context, o *presign.Object) error {
		if !reads {
			return nil
		}
		body, err := o.Open(ctx)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body)
		return errors.Join(err, body.Close())
	}
	return []presign.SignerOption{presign.WithInspect(inspect)}
}

// all combines changes of a policy.
func all(changes ...func(*presign.Policy)) func(*presign.Policy) {
	return func(p *presign.Policy) {
		for _, change := range changes {
			change(p)
		}
	}
}

// completeBefore returns a step that completes the upload before the requests
// are counted. If again is set, the step then uploads the file again.
func completeBefore(again bool) func(*testing.T, shop, *presign.Grant) {
	return func(t *testing.T, s shop, grant *presign.Grant) {
		_, err := s.Complete(t.Context(), "alice", grant.Key)
		require.NoError(t, err)
		if again {
			s.send(t, grant, png, nil)
		}
	}
}

// removeUpload deletes an upload.
func removeUpload(t *testing.T, s shop, grant *presign.Grant) {
	_, err := s.store.S3().DeleteObject(t.Context(),
		&s3.DeleteObjectInput{Bucket: aws.String(s3test.DefaultBucket), Key: &grant.Key})
	require.NoError(t, err)
}

var (
	onAWS        = []s3test.Option{s3test.WithHost(awsName)}
	withVersions = []s3test.Option{s3test.WithVersioning()}
	noConditions = []s3test.Option{s3test.WithoutConditions()}
)

// rows lists each kind of completion with its number and depth of requests.
var rows = []row{
	{name: "any store: PUT", count: 5, depth: 3},
	{name: "any store: form", count: 5, depth: 3, form: true},
	{name: "any store: Replace", count: 5, depth: 3, policy: withReplace},
	{name: "any store: versions", count: 5, depth: 3, options: withVersions},
	{name: "any store: no conditions", count: 5, depth: 3, options: noConditions, form: true},
	{name: "AWS, which cannot pin the upload: form", count: 5, depth: 3,
		options: onAWS, form: true},
	{name: "AWS, which cannot pin the upload: Replace", count: 5, depth: 3, options: onAWS,
		policy: withReplace},

	{name: "KMS", count: 6, depth: 3, policy: withKMS},
	{name: "checksum", count: 6, depth: 3, policy: withChecksum},
	{name: "KMS and checksum", count: 7, depth: 3, policy: all(withKMS, withChecksum)},
	{name: "multipart", count: 6 + 2, depth: 3 + 2, multipart: true},
	{name: "multipart and checksum", count: 7 + 2, depth: 3 + 2, multipart: true,
		policy: withChecksum},
	{name: "multipart and KMS", count: 6 + 2, depth: 3 + 2, multipart: true, policy: withKMS},

	{name: "AWS: PUT", count: 4, depth: 2, options: onAWS},
	{name: "AWS: a version of a form", count: 4, depth: 2,
		options: append(onAWS, withVersions...), form: true},
	{name: "AWS: a version, Replace", count: 4, depth: 2, options: append(onAWS, withVersions...),
		policy: withReplace},
	{name: "AWS: KMS", count: 4, depth: 2, options: onAWS, policy: withKMS},
	{name: "AWS: multipart", count: 4 + 2, depth: 2 + 2, options: onAWS, multipart: true},

	{name: "without FinalPrefix: PUT", count: 1, depth: 1, policy: inPlace},
	{name: "without FinalPrefix: form", count: 1, depth: 1, policy: inPlace, form: true},
	{name: "without FinalPrefix: AWS", count: 1, depth: 1, policy: inPlace, options: onAWS},
	{name: "without FinalPrefix: checksum", count: 2, depth: 1, policy: all(inPlace, withChecksum)},
	{name: "without FinalPrefix: multipart", count: 1 + 2, depth: 1 + 2, policy: inPlace,
		multipart: true},

	{name: "repeated, upload deleted", count: 2, depth: 1, form: true,
		prepare: completeBefore(false)},
	{name: "repeated, upload deleted: AWS", count: 2, depth: 1, options: onAWS,
		prepare: completeBefore(false)},
	{name: "repeated, upload present", count: 3, depth: 1, form: true,
		prepare: completeBefore(true)},
	{name: "repeated, upload present: versions", count: 3, depth: 1, form: true,
		options: withVersions, prepare: completeBefore(true)},

	{name: "missing", count: 3, depth: 2, status: 404, prepare: removeUpload},
	{name: "another owner, uploaded", count: 3, depth: 2, status: 404, owner: "bob"},
	{name: "another owner, published", count: 3, depth: 2, status: 404, owner: "bob",
		prepare: completeBefore(false)},
	{name: "another owner, both", count: 3, depth: 2, status: 404, owner: "bob", form: true,
		prepare: completeBefore(true)},

	{name: "missing: without FinalPrefix", count: 2, depth: 2, status: 404, policy: inPlace,
		prepare: removeUpload},
	{name: "another owner: without FinalPrefix", count: 2, depth: 2, status: 404, policy: inPlace,
		owner: "bob"},
	{name: "missing: checksum", count: 4, depth: 2, status: 404, policy: withChecksum,
		prepare: removeUpload},
	{name: "another owner: checksum", count: 4, depth: 2, status: 404, policy: withChecksum,
		owner: "bob"},

	{name: "WithInspect", count: 5 + 4, depth: 3 + 1, signer: inspectOption(false)},
	{name: "WithInspect: form", count: 5 + 4, depth: 3 + 1,
		signer: inspectOption(false), form: true},
	{name: "WithInspect: AWS", count: 4 + 1, depth: 2, options: onAWS,
		signer: inspectOption(false)},
	// One HEAD of the upload serves both the checksum and the inspection.
	{name: "WithInspect: checksum", count: 6 + 3, depth: 3 + 1, signer: inspectOption(false),
		policy: withChecksum},
	{name: "WithInspect that reads: form", count: 5 + 4 + 1, depth: 3 + 1 + 1,
		signer: inspectOption(true), form: true},
}

// TestRequests checks that each completion makes the expected number of
// requests, and that the expected number of them run in sequence before the
// response. The DELETE must follow the response.
func TestRequests(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { row.run(t) })
		})
	}
}

func (r row) run(t *testing.T) {
	store := s3test.New(append([]s3test.Option{
		s3test.WithHistory(), s3test.WithTick(30 * time.Millisecond),
	}, r.options...)...)
	policy := multipartPolicy()
	if r.policy != nil {
		r.policy(&policy)
	}
	s := open(t, store, policy,
		append([]presign.SignerOption{presign.WithStore(store.Actor("service").S3())},
			r.signer...)...)
	handler, err := presign.NewHandler(s.Signer, user)
	require.NoError(t, err)
	owner := r.owner
	if owner == "" {
		owner = "alice"
	}
	u := presign.Upload{Filename: "a.png", Owner: "alice"}
	if policy.Checksum != "" {
		u.Checksum = crc(png)
	}
	var request *http.Request
	if r.multipart {
		u.Size = int64(len(png))
		m, err := s.StartMultipart(t.Context(), u)
		require.NoError(t, err)
		s.putAll(t, m, png)
		request = completeRequest(owner, `{"id": "`+m.ID+`"}`)
	} else {
		grant := s.upload(t, u, r.form, png, nil)
		if r.prepare != nil {
			r.prepare(t, s, grant)
		}
		request = completeRequest(owner, `{"key": "`+grant.Key+`"}`)
	}
	before := len(store.History().Requests)
	w := &timedWriter{ResponseRecorder: httptest.NewRecorder(), store: store}
	started := store.Now()
	handler.ServeHTTP(w, request)
	require.NoError(t, s.Shutdown(t.Context()))
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	require.Equal(t, status, w.Code, w.Body)
	requests := store.History().Requests.After(before)
	require.Len(t, requests, r.count, "%v", requests)
	preceding := requests[:0:0]
	for _, request := range requests {
		if request.Operation != "DeleteObject" {
			preceding = append(preceding, request)
			continue
		}
		require.GreaterOrEqual(t, request.Start, w.sent.Tick,
			"the DELETE must follow the response\n%v", requests)
	}
	require.Equal(t, r.depth, preceding.Depth(), "%v", requests)
	require.EqualValues(t, r.depth, w.sent.Tick-started.Tick, "%v", requests)
	deletes := len(requests) - len(preceding)
	if policy.FinalPrefix == "" || status != 200 ||
		strings.HasPrefix(r.name, "repeated, upload deleted") {
		require.Zero(t, deletes)
	} else {
		require.Equal(t, 1, deletes)
		require.Len(t, s.keys(), 1, "the upload must be deleted")
	}
}
