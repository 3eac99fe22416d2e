package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/s3presign/presign"
)

// signedAhead is how many URLs are asked for at once, for each part that is sent at once: few enough to be good still
// when their turn comes.
const signedAhead = 4

// errNone says that there is nothing to give up.
var errNone = errors.New("no upload of this file is under way")

// parts uploads what has not arrived yet of a file, several parts at once.
func (u *uploader) parts(ctx context.Context, f *file, about request) (*presign.Object, error) {
	s, err := loadState(u.states, u.service.url, f.Name())
	if err != nil {
		return nil, err
	}
	var arrived map[int]part
	if s.UploadID != "" {
		if arrived, err = u.arrived(ctx, f, about, s); gone(err) {
			// It may have been complete before the state was removed.
			object, err := u.service.complete(ctx, s.Key)
			if err == nil && s.of(f.info) {
				return object, s.remove()
			} else if err != nil && !gone(err) {
				return nil, err
			}
		} else if err != nil {
			return nil, err
		}
	}
	if arrived == nil {
		arrived = make(map[int]part)
		begun, err := u.service.start(ctx, about)
		if err != nil {
			return nil, err
		}
		s.upload, s.request, s.Modified, s.MD5 = *begun, about, f.info.ModTime(), false
		if err = s.check(about.Size); err == nil {
			err = s.save()
		}
		if err != nil {
			return nil, errors.Join(err, u.service.abort(ctx, begun))
		}
	}
	if err := u.sendMissing(ctx, f, s, arrived); err != nil {
		return nil, err
	}
	now, err := f.Stat()
	if err == nil && (now.Size() != f.info.Size() || !now.ModTime().Equal(f.info.ModTime())) {
		err = fmt.Errorf("%s changed while it was uploaded; run this again", f.Name())
	}
	if err != nil {
		return nil, err
	}
	all := slices.SortedFunc(maps.Values(arrived), func(a, b part) int { return a.PartNumber - b.PartNumber })
	if err := u.service.join(ctx, &s.upload, all); err != nil {
		return nil, err
	}
	object, err := u.service.complete(ctx, s.Key)
	if err != nil {
		return nil, err
	}
	return object, s.remove()
}

// arrived returns what has arrived of an upload that was interrupted, and is still what the file has: by MD5 where the
// ETags are that, else by the file's time. It returns nothing, and gives the upload up, if what it began with was another
// size, type or checksum, which are fixed.
func (u *uploader) arrived(ctx context.Context, f *file, about request, s *state) (map[int]part, error) {
	list, err := u.service.list(ctx, &s.upload)
	if err != nil {
		return nil, err
	}
	if s.request != about || !s.MD5 && !s.of(f.info) {
		fmt.Fprintf(u.out, "%s has changed, and is uploaded anew\n", about.Filename)
		if err := u.service.abort(ctx, &s.upload); err != nil && !gone(err) {
			return nil, err
		}
		return nil, nil
	}
	arrived := make(map[int]part)
	for _, p := range list {
		if p.PartNumber < 1 || p.PartNumber > s.count() {
			continue
		}
		offset, size := s.section(p.PartNumber)
		if p.Size != size {
			continue
		}
		if s.MD5 {
			h := md5.New()
			if _, err := io.Copy(h, interruptible(ctx, io.NewSectionReader(f, offset, size))); err != nil {
				return nil, err
			}
			if strings.Trim(p.ETag, `"`) != hex.EncodeToString(h.Sum(nil)) {
				continue
			}
		}
		arrived[p.PartNumber] = part{PartNumber: p.PartNumber, ETag: p.ETag}
		f.progress.add(size)
	}
	fmt.Fprintf(u.out, "%s  %d parts have arrived, of %d\n", about.Filename, len(arrived), s.count())
	return arrived, nil
}

// sendMissing uploads the parts that are not in arrived, and puts them there.
func (u *uploader) sendMissing(ctx context.Context, f *file, s *state, arrived map[int]part) error {
	var missing []int
	for number := 1; number <= s.count(); number++ {
		if _, ok := arrived[number]; !ok {
			missing = append(missing, number)
		}
	}
	var mu sync.Mutex // of arrived and of s
	sending, ctx := errgroup.WithContext(ctx)
	sending.SetLimit(u.parallel)
	for numbers := range slices.Chunk(missing, min(100, signedAhead*u.parallel)) {
		urls, err := u.service.sign(ctx, &s.upload, numbers)
		if err != nil {
			sending.Go(func() error { return err })
			break
		}
		for _, number := range numbers {
			sending.Go(func() error {
				got, err := u.sendPart(ctx, f, s, number, urls[number])
				if err != nil {
					return fmt.Errorf("part %d: %w", number, err)
				}
				mu.Lock()
				defer mu.Unlock()
				arrived[number] = part{PartNumber: number, ETag: got.etag}
				if !s.MD5 && got.matches() {
					s.MD5 = true
					return s.save()
				}
				return nil
			})
		}
	}
	return sending.Wait()
}

// sendPart uploads one part, the first time to url.
func (u *uploader) sendPart(ctx context.Context, f *file, s *state, number int, url string) (got sent, err error) {
	offset, size := s.section(number)
	err = u.patience.retry(ctx, func(try int) error {
		if try > 1 {
			fresh, err := u.service.sign(ctx, &s.upload, []int{number})
			if err != nil {
				return final(err)
			}
			url = fresh[number]
		}
		got, err = u.send(ctx, &presign.Grant{Method: http.MethodPut, URL: url}, f, offset, size)
		answer := (*refusal)(nil)
		if errors.As(err, &answer) && answer.status < 500 && try >= tolerance {
			return final(err)
		}
		return err
	})
	return got, err
}

// abort gives up the upload of a file.
func (u *uploader) abort(ctx context.Context, path string) error {
	s, err := loadState(u.states, u.service.url, path)
	switch {
	case err != nil:
		return err
	case s.UploadID == "":
		return fmt.Errorf("%s: %w", path, errNone)
	}
	if err := u.service.abort(ctx, &s.upload); err != nil && !gone(err) {
		return err
	}
	return s.remove()
}
