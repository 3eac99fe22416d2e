package main

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/s3presign/presign"
)

// signedAhead is the number of URLs in a request for each concurrent part. It
// is small, so that URLs do not expire before they are used.
const signedAhead = 4

// errNone is returned by abort if the file has no unfinished upload.
var errNone = errors.New("this file has no unfinished upload")

// putParts uploads the missing parts of a file concurrently.
func (u *uploader) putParts(ctx context.Context, f *file, about request) (*presign.Object, error) {
	s, err := loadState(u.states, u.service.url, f.Name())
	if err != nil {
		return nil, err
	}
	var arrived map[int]part
	if s.ID != "" {
		if arrived, err = u.arrived(ctx, f, about, s); isGone(err) {
			// The upload might have been completed before the state was
			// removed.
			object, err := u.service.completeKey(ctx, s.Key)
			if err == nil && s.isUnchanged(f.info) {
				return object, s.remove()
			} else if err != nil && !isGone(err) {
				return nil, err
			}
		} else if err != nil {
			return nil, err
		}
	}
	if arrived == nil {
		arrived = make(map[int]part)
		if err := u.start(ctx, f, about, s); err != nil {
			return nil, err
		}
	}
	if err := u.sendMissing(ctx, f, s, arrived); err != nil {
		return nil, err
	}
	now, err := f.Stat()
	if err == nil && (now.Size() != f.info.Size() || !now.ModTime().Equal(f.info.ModTime())) {
		err = fmt.Errorf("%s must not change during the upload; run the same command again",
			f.Name())
	}
	if err != nil {
		return nil, err
	}
	all := slices.SortedFunc(maps.Values(arrived), func(a, b part) int {
		return a.Number - b.Number
	})
	object, err := u.service.completeParts(ctx, &s.upload, all)
	if err != nil {
		return nil, err
	}
	return object, s.remove()
}

// start starts an upload and saves its state.
func (u *uploader) start(ctx context.Context, f *file, about request, s *state) error {
	started, err := u.service.start(ctx, about)
	if err != nil {
		return err
	}
	s.upload, s.request, s.Modified = *started, about, f.info.ModTime()
	clear(s.sent)
	if err = s.check(about.Size); err == nil {
		err = s.save()
	}
	if err != nil {
		return errors.Join(err, u.service.abort(ctx, started))
	}
	return nil
}

// arrived returns the parts of an interrupted upload that the store has
// received and that match the file. If the upload started with another size,
// type or checksum, arrived aborts it and returns nil.
func (u *uploader) arrived(
	ctx context.Context, f *file, about request, s *state,
) (map[int]part, error) {
	list, err := u.service.list(ctx, &s.upload)
	if err != nil {
		return nil, err
	}
	if s.request != about {
		fmt.Fprintf(u.out, "%s  has changed, so it is uploaded again\n", about.Filename)
		if err := u.service.abort(ctx, &s.upload); err != nil && !isGone(err) {
			return nil, err
		}
		return nil, nil
	}
	arrived, kept := make(map[int]part), make(map[int]sentPart)
	for _, p := range list {
		if p.Number < 1 || p.Number > s.count() {
			continue
		}
		offset, size := s.section(p.Number)
		if p.Size != size {
			continue
		}
		section := interruptibleReader(ctx, io.NewSectionReader(f, offset, size))
		if same, err := u.compare(section, s, p, s.isUnchanged(f.info)); err != nil {
			return nil, err
		} else if !same {
			continue
		}
		arrived[p.Number] = part{Number: p.Number, ETag: p.ETag}
		if known, ok := s.sent[p.Number]; ok {
			kept[p.Number] = known
		}
		f.progress.add(size)
	}
	fmt.Fprintf(u.out, "%s  %d of %d parts are stored already\n",
		about.Filename, len(arrived), s.count())
	s.sent = kept
	return arrived, s.save() // save removes changed parts and an incomplete line.
}

// compare reports whether a section of the file matches the part in the store.
// Some stores keep a part of an interrupted request with the size of a whole
// part. Therefore compare uses the first possible of these comparisons:
//
//   - the ETag and the CRC32C in the state, if the time of the file has not
//     changed,
//   - the CRC32C of the store, and
//   - the ETag, which is the MD5 of the bytes unless the store encrypts them.
func (u *uploader) compare(section io.Reader, s *state, p part, unchanged bool) (bool, error) {
	known, ok := s.sent[p.Number]
	isKnown := ok && unchanged && known.ETag == p.ETag
	if isKnown || u.algorithm == "crc32c" && p.Checksum != "" {
		h := crc32.New(castagnoli)
		_, err := io.Copy(h, section)
		if isKnown {
			return h.Sum32() == known.CRC32C, err
		}
		return base64.StdEncoding.EncodeToString(h.Sum(nil)) == p.Checksum, err
	}
	h := md5.New()
	_, err := io.Copy(h, section)
	return hex.EncodeToString(h.Sum(nil)) == strings.Trim(p.ETag, `"`), err
}

// sendMissing uploads the parts that are not in arrived, and adds them to
// arrived.
func (u *uploader) sendMissing(ctx context.Context, f *file, s *state, arrived map[int]part) error {
	var missing []int
	for number := 1; number <= s.count(); number++ {
		if _, ok := arrived[number]; !ok {
			missing = append(missing, number)
		}
	}
	var mu sync.Mutex // guards arrived and s
	sending, ctx := errgroup.WithContext(ctx)
	sending.SetLimit(u.parallel)
	for numbers := range slices.Chunk(missing, min(100, signedAhead*u.parallel)) {
		urls, err := u.service.sign(ctx, &s.upload, numbers)
		if err != nil {
			sending.Go(func() error { return err })
			break
		}
		for i, number := range numbers {
			sending.Go(func() error {
				got, err := u.sendPart(ctx, f, s, number, urls[i])
				if err != nil {
					return fmt.Errorf("part %d: %w", number, err)
				}
				mu.Lock()
				defer mu.Unlock()
				arrived[number] = part{Number: number, ETag: got.ETag}
				return s.add(got)
			})
		}
	}
	return sending.Wait()
}

// sendPart uploads one part. The first try uses url.
func (u *uploader) sendPart(
	ctx context.Context, f *file, s *state, number int, url string,
) (got sentPart, err error) {
	offset, size := s.section(number)
	err = u.patience.retry(ctx, func(try int) error {
		if try > 1 {
			fresh, err := u.service.sign(ctx, &s.upload, []int{number})
			if err != nil {
				return markFinal(err)
			}
			url = fresh[0]
		}
		got, err = u.send(ctx, &presign.Grant{Method: http.MethodPut, URL: url}, f, offset, size)
		response := (*rejection)(nil)
		if errors.As(err, &response) && response.status < 500 && try >= tolerance {
			return markFinal(err)
		}
		return err
	})
	got.Number = number
	return got, err
}

// abort aborts the unfinished upload of a file.
func (u *uploader) abort(ctx context.Context, path string) error {
	s, err := loadState(u.states, u.service.url, path)
	switch {
	case err != nil:
		return err
	case s.ID == "":
		return fmt.Errorf("%s: %w", path, errNone)
	}
	if err := u.service.abort(ctx, &s.upload); err != nil && !isGone(err) {
		return err
	}
	return s.remove()
}
