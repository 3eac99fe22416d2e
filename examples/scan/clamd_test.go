package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// listen starts a server that sends reply on each connection and then closes
// the connection. The channel returns the bytes that each connection has
// received.
func listen(t *testing.T, reply string) (clamd, <-chan []byte) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	received := make(chan []byte, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			var all []byte
			for chunk := make([]byte, 1024); !bytes.HasSuffix(all, make([]byte, 4)); {
				n, err := conn.Read(chunk)
				all = append(all, chunk[:n]...)
				if err != nil {
					break
				}
			}
			received <- all
			_, _ = io.WriteString(conn, reply)
			_ = conn.Close()
		}
	}()
	return parseClamd(listener.Addr().String()), received
}

func TestScanFollowsTheProtocol(t *testing.T) {
	for reply, want := range map[string]struct{ found, err string }{
		"stream: OK\x00":                          {"", ""},
		"stream: Eicar-Test-Signature FOUND\x00":  {"Eicar-Test-Signature", ""},
		"INSTREAM size limit exceeded. ERROR\x00": {"", "clamd could not scan: \"INSTREAM size limit exceeded. ERROR\""},
		"stream: Can't allocate memory ERROR\x00": {"", "clamd could not scan"},
		"OK\x00":     {"", "clamd could not scan"},
		"stream: OK": {"", "clamd did not reply: EOF"},
		"":           {"", "clamd did not reply: EOF"},
		"stream: " + strings.Repeat("a", 5000) + "\x00": {"", "clamd did not reply: EOF"},
	} {
		c, received := listen(t, reply)
		found, err := c.scan(t.Context(), iotest.OneByteReader(strings.NewReader("abc")))
		require.Equal(t, want.found, found, reply)
		if want.err == "" {
			require.NoError(t, err, reply)
		} else {
			require.ErrorContains(t, err, want.err, reply)
		}
		require.Equal(t,
			"zINSTREAM\x00\x00\x00\x00\x01a\x00\x00\x00\x01b\x00\x00\x00\x01c\x00\x00\x00\x00",
			string(<-received))
	}
}

// TestTruncatedFilesAreNotScanned checks that clamd does not receive the end of
// a stream whose reader has failed. Otherwise it would accept the beginning of
// the file.
func TestTruncatedFilesAreNotScanned(t *testing.T) {
	for _, failure := range []error{
		io.ErrUnexpectedEOF, errors.New("connection reset"), presign.ErrChanged,
	} {
		c, received := listen(t, "stream: OK\x00")
		_, err := c.scan(t.Context(),
			io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(failure)))
		require.ErrorIs(t, err, failure)
		require.Equal(t, "zINSTREAM\x00\x00\x00\x00\x03abc", string(<-received))
	}
}

// TestScanStreamsFiles checks that a large picture is not kept in memory.
func TestScanStreamsFiles(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	const size = 128 << 20
	picture := encode(t, "image/png", 10, 10)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, conn, size+int64(len(picture)))
		_, _ = io.WriteString(conn, "stream: OK\x00")
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	file := io.MultiReader(bytes.NewReader(picture), io.LimitReader(zeros{}, size))
	content, err := limitPixels(file, "image/png", 100)
	require.NoError(t, err)
	_, err = parseClamd(listener.Addr().String()).scan(t.Context(), content)
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), "bytes allocated")
}

func TestScanEndsWithItsContext(t *testing.T) {
	c, _ := listen(t, "stream: OK\x00")
	ctx, cancel := context.WithCancelCause(t.Context())
	endless := io.MultiReader(strings.NewReader("abc"), readerFunc(func(p []byte) (int, error) {
		cancel(errors.New("the test has ended the context"))
		p[0] = 1
		return 1, nil
	}))
	_, err := c.scan(ctx, endless)
	require.ErrorContains(t, err, "the test has ended the context")
}

type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func encode(t *testing.T, mediaType string, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	m := image.NewPaletted(image.Rect(0, 0, width, height), palette.WebSafe)
	require.NoError(t, map[string]func() error{
		"image/gif":  func() error { return gif.Encode(&b, m, nil) },
		"image/jpeg": func() error { return jpeg.Encode(&b, m, nil) },
		"image/png":  func() error { return png.Encode(&b, m) },
	}[mediaType]())
	return b.Bytes()
}

// TestPixelsAreLimited checks that limitPixels reads the dimensions from the
// header, and that all bytes of a picture are scanned.
func TestPixelsAreLimited(t *testing.T) {
	for mediaType := range configDecoders {
		picture := encode(t, mediaType, 100, 50)
		rest, err := limitPixels(bytes.NewReader(picture), mediaType, 5000)
		require.NoError(t, err, mediaType)
		all, err := io.ReadAll(rest)
		require.NoError(t, err)
		require.Equal(t, picture, all, mediaType)

		_, err = limitPixels(bytes.NewReader(picture), mediaType, 4999)
		v := presign.Violations(err)
		require.Len(t, v, 1, mediaType)
		require.Equal(t, presign.Violation{
			Field: "content", Code: "too_large", Max: 4999,
			Detail: "must have at most 4999 pixels, got 100 x 50",
		}, v[0])

		head := picture[:10]
		_, err = limitPixels(bytes.NewReader(head), mediaType, 5000)
		require.Equal(t, "invalid", presign.Violations(err)[0].Code, mediaType)
		truncated := io.MultiReader(bytes.NewReader(head), iotest.ErrReader(io.ErrUnexpectedEOF))
		_, err = limitPixels(truncated, mediaType, 5000)
		require.Equal(t, io.ErrUnexpectedEOF, err, "%s: the error of the store", mediaType)
	}
	// The picture has 10 billion pixels, which do not fit into memory.
	bomb := encode(t, "image/png", 1, 1)
	copy(bomb[16:], "\x00\x01\x86\xa0\x00\x01\x86\xa0")
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	_, err := limitPixels(bytes.NewReader(bomb), "image/png", 50_000_000)
	require.Equal(t, "too_large", presign.Violations(err)[0].Code)

	_, err = limitPixels(strings.NewReader("RIFF"), "image/webp", 1)
	require.EqualError(t, err,
		"scan: Policy.Types must not contain image/webp, which has no decoder")
	rest, err := limitPixels(strings.NewReader("a"), "text/plain", 1)
	require.NoError(t, err)
	require.Equal(t, strings.NewReader("a"), rest)
}
