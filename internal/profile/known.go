package profile

import "strings"

// A Provider is a store that is recognized by its host name. Its Profile
// follows its documentation.
type Provider struct {
	Name    string
	Sources []string // the pages of the documentation
	Profile *Profile // Host, Bucket, Doctor and Date are empty
}

// TakesForms reports whether the provider accepts uploads by form. It returns
// true for nil, an unknown provider.
func (p *Provider) TakesForms() bool {
	return p == nil || p.Profile.Constraints["form: an honest upload"] != NotOffered
}

// Known returns the provider of a host, or nil.
func Known(host string) *Provider {
	for _, p := range providers() {
		if p.at(host) {
			return &p.Provider
		}
	}
	return nil
}

// Providers returns all known providers.
func Providers() (all []Provider) {
	for _, p := range providers() {
		all = append(all, p.Provider)
	}
	return all
}

type provider struct {
	at func(host string) bool
	Provider
}

const googleName = "Google Cloud Storage (S3 interoperability)"

func providers() []provider {
	return []provider{
		{isAWS, Provider{"Amazon S3", []string{
			"https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html",
			"https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html",
			"https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html",
		}, newFullProfile()}},
		{matchDomain("r2.cloudflarestorage.com"), Provider{"Cloudflare R2", []string{
			"https://developers.cloudflare.com/r2/api/s3/api/",
			"https://developers.cloudflare.com/r2/api/s3/presigned-urls/",
			"https://developers.cloudflare.com/r2/api/s3/conditional-operations/",
		}, newProfile(map[string]Verdict{
			"PUT: write once":                      Enforced,
			"PUT: tags":                            NotOffered,
			"form: an honest upload":               NotOffered,
			"part: checksum CRC32":                 NotOffered, // R2 has no CRC32 of the whole object.
			"part: checksum CRC32C":                NotOffered,
			"part: checksum CRC64NVME":             Enforced,
			"part: tags":                           NotOffered,
			"completion: write once on completion": Enforced,
			"completion: write once on copy":       NotEnforced, // R2 uses headers of its own.
		})}},
		{matchDomain("backblazeb2.com"), Provider{"Backblaze B2", []string{
			"https://www.backblaze.com/docs/cloud-storage-s3-compatible-api",
			"https://www.backblaze.com/apidocs/introduction-to-the-s3-compatible-api",
		}, newProfile(map[string]Verdict{
			"PUT: tags":              NotOffered,
			"form: an honest upload": NotOffered,
			"part: tags":             NotOffered,
		})}},
		{matchDomain("storage.googleapis.com"), Provider{googleName, []string{
			"https://cloud.google.com/storage/docs/request-preconditions",
			"https://cloud.google.com/storage/docs/xml-api/reference-headers",
		}, newProfile(map[string]Verdict{
			// Google requires x-goog-if-generation-match instead.
			"PUT: write once":                      NotEnforced,
			"PUT: tags":                            NotOffered,
			"part: tags":                           NotOffered,
			"completion: write once on completion": NotEnforced,
			"completion: write once on copy":       NotEnforced,
		})}},
	}
}

func newProfile(constraints map[string]Verdict) *Profile {
	return &Profile{Format: Format, Constraints: constraints}
}

func newFullProfile() *Profile {
	all := make(map[string]Verdict)
	for _, name := range Names() {
		all[name] = Enforced
	}
	return newProfile(all)
}

func matchDomain(domain string) func(string) bool {
	return func(host string) bool {
		host = strings.ToLower(host)
		return host == domain || strings.HasSuffix(host, "."+domain)
	}
}
