package upload_test

import (
	"encoding/json"
	"net/http"

	"github.com/s3presign/presign"
)

// directUploads grants the uploads that DirectUpload requests.
func directUploads(signer *presign.Signer, authenticate func(*http.Request) (string, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Blob struct {
				Filename string `json:"filename"`
				Type     string `json:"content_type"`
				Size     int64  `json:"byte_size"`
			} `json:"blob"`
		}
		owner, err := authenticate(r)
		var grant *presign.Grant
		switch {
		case err != nil:
		case owner == "":
			err = &presign.Problem{Status: http.StatusUnauthorized}
		case json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&q) != nil:
			err = &presign.Problem{Status: http.StatusBadRequest}
		default:
			u := presign.Upload{Owner: owner, Filename: q.Blob.Filename, Type: q.Blob.Type, Size: q.Blob.Size}
			grant, err = signer.Put(r.Context(), u)
		}
		if err != nil {
			presign.ProblemOf(err).ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"key": grant.Key, "direct_upload": grant})
	})
}
