// Package corpus contains the first bytes of files of many types, and of files
// that pretend to have another type, for tests.
package corpus

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"unicode/utf16"
)

const (
	htmlType  = "text/html"
	xhtmlType = "application/xhtml+xml"
	xmlType   = "text/xml"
	svgType   = "image/svg+xml"
)

// A File holds the first bytes of a file, written by hand or by an encoder.
type File struct {
	Name string
	Data []byte
}

var (
	picture = image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.Black, color.White})

	PNG      = mustEncode(func(b *bytes.Buffer) error { return png.Encode(b, picture) })
	jpegFile = mustEncode(func(b *bytes.Buffer) error { return jpeg.Encode(b, picture, nil) })
	gifFile  = mustEncode(func(b *bytes.Buffer) error { return gif.Encode(b, picture, nil) })
	pdfFile  = []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n" +
		"4 0 obj\n<</Length 8/Filter/FlateDecode>>\nstream\nx\x9c\x03\x00\x00\x00\x00\x01\nendstream\nendobj\n")
	zipFile  = archive("notes.txt", "hello")
	docxFile = archive("[Content_Types].xml", `<?xml version="1.0"?><Types/>`,
		"_rels/.rels", "<Relationships/>", "word/document.xml", "<w:document/>")
	gzipFile = mustEncode(func(b *bytes.Buffer) error {
		w := gzip.NewWriter(b)
		w.Write([]byte("hello"))
		return w.Close()
	})
	mp4File  = ftyp("isom", "isom", "iso2", "avc1", "mp41")
	mp3Frame = append([]byte{0xff, 0xfb, 0x90, 0x64}, make([]byte, 413)...)
	mp3File  = bytes.Repeat(mp3Frame, 4)
	id3      = Join("ID3\x03\x00\x00\x00\x00\x0f\x76TIT2\x00\x00\x00\x05\x00\x00\x00Song",
		make([]byte, 2000))
	wavFile = Join("RIFF", le32(2084), "WAVEfmt ", le32(16), le16(1), le16(1), le32(8000),
		le32(16000), le16(2), le16(16), "data", le32(2048), make([]byte, 2048))
	exeFile = Join("MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00\xb8",
		make([]byte, 43), le32(128), make([]byte, 64), "PE\x00\x00d\x86")
	elfFile = Join("\x7fELF\x02\x01\x01", make([]byte, 9), le16(2), le16(62), le32(1),
		make([]byte, 40))
	oleFile = ole("WordDocument")
	Noise   = bytes.Repeat([]byte("\x93\x07\xe1\x00\x5a\xc8\x11\xf0\x3d"), 400)
)

// mustEncode returns the bytes that write writes.
func mustEncode(write func(*bytes.Buffer) error) []byte {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Join returns the concatenation of strings and byte slices.
func Join(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func le16(n uint16) []byte { return binary.LittleEndian.AppendUint16(nil, n) }
func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// utf16LE returns s in UTF-16LE without a byte order mark.
func utf16LE(s string) (b []byte) {
	for _, c := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

func utf16BE(s string) (b []byte) {
	for _, c := range utf16.Encode([]rune(s)) {
		b = binary.BigEndian.AppendUint16(b, c)
	}
	return b
}

func utf32LE(s string) (b []byte) {
	for _, c := range s {
		b = binary.LittleEndian.AppendUint32(b, uint32(c))
	}
	return b
}

// archive returns a zip. Its entries are names and contents in turn. The entry
// "mimetype" is not compressed, as OpenDocument and EPUB require.
func archive(entries ...string) []byte {
	return mustEncode(func(b *bytes.Buffer) error {
		w := zip.NewWriter(b)
		for i := 0; i < len(entries); i += 2 {
			method := zip.Deflate
			if entries[i] == "mimetype" {
				method = zip.Store
			}
			header := &zip.FileHeader{Name: entries[i], Method: method}
			if method == zip.Store {
				header.CompressedSize64 = uint64(len(entries[i+1]))
				header.UncompressedSize64 = header.CompressedSize64
				f, err := w.CreateRaw(header)
				if err != nil {
					return err
				}
				f.Write([]byte(entries[i+1]))
				continue
			}
			f, err := w.CreateHeader(header)
			if err != nil {
				return err
			}
			f.Write([]byte(entries[i+1]))
		}
		return w.Close()
	})
}

func tarball(name, content string) []byte {
	return mustEncode(func(b *bytes.Buffer) error {
		w := tar.NewWriter(b)
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		w.Write([]byte(content))
		return w.Close()
	})
}

// ftyp returns an ISO base media file: its first box and the start of a second
// box.
func ftyp(brand string, compatible ...string) []byte {
	size := uint32(16 + 4*len(compatible))
	return Join(be32(size), "ftyp", brand, be32(512), strings.Join(compatible, ""),
		be32(1000), "meta", make([]byte, 992))
}

func ebml(docType string) []byte {
	return Join("\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2",
		"\x81\x04\x42\xf3\x81\x08\x42\x82",
		[]byte{0x80 | byte(len(docType))}, docType, "\x42\x87\x81\x04\x42\x85\x81\x02",
		"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", make([]byte, 100))
}

func ogg(packet string) []byte {
	return Join("OggS\x00\x02", make([]byte, 8), le32(1234), le32(0), le32(0x5a5a5a5a),
		[]byte{1, byte(len(packet))}, packet)
}

// ole returns a compound file of version 3 with a header, a FAT, a directory
// and the entry of one stream.
func ole(stream string) []byte {
	entry := func(name string, kind byte, child uint32) []byte {
		e := make([]byte, 128)
		copy(e, utf16LE(name))
		e[64], e[66], e[67] = byte(2*len(name)+2), kind, 1
		for i := 68; i < 80; i++ {
			e[i] = 0xff
		}
		binary.LittleEndian.PutUint32(e[76:], child)
		return e
	}
	header := Join("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", make([]byte, 16), le16(0x3e),
		le16(3), le16(0xfffe), le16(9), le16(6), make([]byte, 10), le32(1), le32(1), le32(0),
		le32(4096), le32(0xfffffffe), le32(0), le32(0xfffffffe), le32(0), le32(0),
		bytes.Repeat([]byte{0xff}, 432))
	fat := Join(le32(0xfffffffd), le32(0xfffffffe), bytes.Repeat([]byte{0xff}, 504))
	return Join(header, fat, entry("Root Entry", 5, 1), entry(stream, 2, 0xffffffff),
		make([]byte, 256))
}

func sfnt(version, table string) []byte {
	return Join(version, "\x00\x01\x00\x10\x00\x00\x00\x00", table,
		be32(0), be32(28), be32(64), make([]byte, 64))
}

// Legitimate holds files, each with the types that may be granted for the file.
// Spaces separate the types.
var Legitimate = []struct {
	Granted string
	File
}{
	// Images
	{"image/png image/x-png image/apng", File{"png", PNG}},
	{"image/jpeg image/jpg image/pjpeg", File{"jpeg", jpegFile}},
	{"image/gif", File{"gif", gifFile}},
	{"image/webp",
		File{"webp", Join("RIFF", le32(26), "WEBPVP8L", le32(13), unhex("2f00000010 0710 1111 8888 fe07 00"))}},
	{"image/avif", File{"avif", ftyp("avif", "avif", "mif1", "miaf")}},
	{"image/heic image/heif", File{"heic", ftyp("heic", "mif1", "heic")}},
	{"image/heif image/heic", File{"heif of an iPhone", ftyp("mif1", "mif1", "heic")}},
	{"image/heic-sequence image/heic", File{"heic burst", ftyp("hevc", "msf1", "hevc")}},
	{"image/tiff", File{"tiff", Join("II*\x00", le32(8), le16(1), le16(256), le16(4), le32(1), le32(1), le32(0))}},
	{"image/tiff", File{"tiff, big-endian", unhex("4d4d002a00000008 0001 0100 0004 00000001 00000001 00000000")}},
	{"image/tiff", File{"BigTIFF", unhex("49492b0008000000 1000000000000000 0000000000000000")}},
	{"image/x-adobe-dng",
		File{"dng", Join("II*\x00", le32(8), le16(1), le16(0xc612), le16(1), le32(4), le32(0x401), le32(0))}},
	{"image/x-nikon-nef", File{"nef", unhex("4d4d002a00000008 0001 00fe 0004 00000001 00000001 00000000")}},
	{"image/x-canon-cr2", File{"cr2", unhex("49492a0010000000 4352 0200 00000000 1200")}},
	{"image/x-canon-cr3", File{"cr3", ftyp("crx ", "crx ", "isom")}},
	{"image/x-fuji-raf", File{"raf", Join("FUJIFILMCCD-RAW 0201FF383901", make([]byte, 64))}},
	{"image/x-olympus-orf", File{"orf", Join("IIRO", le32(8), make([]byte, 64))}},
	{"image/bmp image/x-ms-bmp",
		File{"bmp",
			Join("BM", le32(62), le32(0), le32(54), le32(40), le32(1), le32(1), le16(1), le16(24), make([]byte, 32))}},
	{"image/bmp",
		File{"bmp of OS/2",
			Join("BM", le32(30), le32(0), le32(26), le32(12), le16(1), le16(1), le16(1), le16(24), le32(0))}},
	{"image/x-icon image/vnd.microsoft.icon",
		File{"ico", Join(unhex("000001000100 1010000001002000"), le32(40), le32(22), le32(40), make([]byte, 36))}},
	{"image/x-icon", File{"ico that is a png", PNG}},
	{"image/vnd.adobe.photoshop image/x-photoshop",
		File{"psd", Join("8BPS\x00\x01", make([]byte, 6), "\x00\x03", be32(1), be32(1), "\x00\x08\x00\x03")}},
	{"image/jxl", File{"jxl", unhex("ff0afa1f41911004002000 4b18")}},
	{"image/jxl",
		File{"jxl container", Join("\x00\x00\x00\x0cJXL \r\n\x87\n", be32(20), "ftypjxl \x00\x00\x00\x00jxl ")}},
	{"image/jp2", File{"jp2", Join("\x00\x00\x00\x0cjP  \r\n\x87\n", be32(20), "ftypjp2 \x00\x00\x00\x00jp2 ")}},
	{"image/x-tga", File{"tga", Join(unhex("00000200000000000000000008000800 1800"), make([]byte, 192))}},
	{"image/svg+xml", File{"svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)}},
	{"image/svg+xml",
		File{"svg of a program",
			[]byte("<?xml version=\"1.0\"?>\n<!-- Generator -->\n<!DOCTYPE svg PUBLIC \"-//W3C\" \"x\">\n<svg/>")}},
	{"image/svg+xml",
		File{"svg in UTF-16", Join("\xff\xfe", utf16LE(`<?xml version="1.0" encoding="UTF-16"?><svg:svg/>`))}},
	{"image/svg+xml",
		File{"svg after a license",
			[]byte("<?xml version=\"1.0\"?><!--" + strings.Repeat(" licence", 1000) + "--><svg/>")}},
	{"image/svg+xml", File{"svgz", gzipFile}},

	// Video
	{"video/mp4 video/x-m4v audio/mp4", File{"mp4", mp4File}},
	{"video/mp4 video/x-m4v", File{"m4v", ftyp("M4V ", "M4V ", "mp42")}},
	{"video/mp4", File{"mp4 of a Sony camera", ftyp("XAVC", "XAVC", "mp42")}},
	{"video/quicktime video/mp4", File{"mov", ftyp("qt  ", "qt  ")}},
	{"video/quicktime",
		File{"mov without ftyp", Join(be32(8), "wide", be32(4000), "mdat", bytes.Repeat([]byte("\x9f\x01"), 100))}},
	{"video/3gpp audio/3gpp", File{"3gp", ftyp("3gp5", "3gp5", "isom")}},
	{"video/webm audio/webm", File{"webm", ebml("webm")}},
	{"video/x-matroska audio/x-matroska video/webm", File{"mkv", ebml("matroska")}},
	{"video/ogg application/ogg", File{"ogv", ogg("\x80theora\x03\x02\x01" + strings.Repeat("\x00", 34))}},
	{"video/x-msvideo",
		File{"avi", Join("RIFF", le32(1000), "AVI LIST", le32(192), "hdrlavih", le32(56), make([]byte, 56))}},
	{"video/mp2t", File{"ts", bytes.Repeat(Join("G\x40\x00\x10\x00", bytes.Repeat([]byte{0xff}, 183)), 8)}},
	{"video/mp2t", File{"ts with mp3 in it", Join("G\x40\x00\x10\x00", bytes.Repeat([]byte{0xff}, 183), mp3File)}},
	{"video/mpeg",
		File{"mpg",
			Join("\x00\x00\x01\xba\x44\x00\x04\x00\x04\x01\x01\x89\xc3\xf8\x00\x00\x01\xbb", make([]byte, 100))}},
	{"video/x-ms-wmv video/x-ms-asf audio/x-ms-wma",
		File{"wmv", Join(unhex("3026b2758e66cf11a6d900aa0062ce6c"), make([]byte, 100))}},

	// Audio
	{"audio/mp4 audio/x-m4a audio/mpeg", File{"m4a", ftyp("M4A ", "M4A ", "mp42")}},
	{"audio/mpeg audio/mp3", File{"mp3", mp3File}},
	{"audio/mpeg audio/mp3", File{"mp3 with ID3", Join(id3, mp3File)}},
	{"audio/mpeg", File{"mp3 behind zeros", Join(make([]byte, 500), mp3File)}},
	{"audio/wav audio/x-wav audio/wave", File{"wav", wavFile}},
	{"audio/wav", File{"wav over 4 GiB", Join("RF64\xff\xff\xff\xffWAVEds64", le32(28), make([]byte, 28))}},
	{"audio/flac audio/x-flac", File{"flac", Join("fLaC\x00\x00\x00\x22\x10\x00\x10\x00", make([]byte, 30))}},
	{"audio/flac", File{"flac without more metadata", Join("fLaC\x80\x00\x00\x22\x10\x00\x10\x00", make([]byte, 30))}},
	{"audio/flac", File{"flac with ID3", Join(id3, "fLaC\x00\x00\x00\x22")}},
	{"audio/aac", File{"aac", bytes.Repeat(Join("\xff\xf1\x50\x80\x02\x1f\xfc", make([]byte, 9)), 50)}},
	{"audio/ogg audio/vorbis application/ogg",
		File{"ogg", ogg("\x01vorbis\x00\x00\x00\x00\x02" + strings.Repeat("\x00", 18))}},
	{"audio/opus audio/ogg", File{"opus", ogg("OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00")}},
	{"audio/webm", File{"weba", ebml("webm")}},
	{"audio/midi audio/mid", File{"mid", Join("MThd", be32(6), "\x00\x01\x00\x02\x01\xe0MTrk")}},
	{"audio/amr", File{"amr", []byte("#!AMR\n\x3c\x91\x17\x16\xbe\x66")}},
	{"audio/aiff", File{"aiff", Join("FORM", be32(100), "AIFFCOMM", be32(18), make([]byte, 18))}},
	{"audio/aiff", File{"aifc", Join("FORM", be32(100), "AIFCFVER", be32(4), make([]byte, 18))}},

	// Documents
	{"application/pdf application/x-pdf text/pdf", File{"pdf", pdfFile}},
	{"application/pdf", File{"pdf behind junk", Join("\x00\x1b\x00\x05junk\r\n", pdfFile)}},
	{"application/pdf", File{"pdf behind lines", Join(strings.Repeat("\n", 500), pdfFile)}},
	{"application/pdf", File{"pdf that is all text", []byte("%PDF-1.4\n1 0 obj\n<<>>\nendobj\n")}},
	{"application/illustrator application/postscript", File{"ai", pdfFile}},
	{"application/postscript", File{"eps", []byte("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n")}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document application/zip", File{"docx", docxFile}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		File{"docx, encrypted", ole("EncryptedPackage")}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		File{"docx in another order", archive("foo/x.xml", "<x/>", "word/document.xml", "<w:document/>")}},
	{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
		File{"xlsx", archive("[Content_Types].xml", "<Types/>", "_rels/.rels", "<Relationships/>", "xl/workbook.xml",
			"<workbook/>")}},
	{"application/vnd.ms-excel.sheet.macroenabled.12",
		File{"xlsm", archive("[Content_Types].xml", "<Types/>", "xl/workbook.xml", "<workbook/>")}},
	{"application/vnd.openxmlformats-officedocument.presentationml.presentation",
		File{"pptx", archive("[Content_Types].xml", "<Types/>", "ppt/presentation.xml", "<p/>")}},
	{"application/msword", File{"doc", oleFile}},
	{"application/msword", File{"doc that is RTF", []byte(`{\rtf1\ansi hello}`)}},
	{"application/vnd.ms-excel", File{"xls", ole("Workbook")}},
	{"application/vnd.ms-excel text/csv text/plain", File{"csv on Windows", []byte("a,b\r\n1,2\r\n")}},
	{"application/vnd.ms-powerpoint", File{"ppt", ole("PowerPoint Document")}},
	{"application/vnd.ms-outlook", File{"msg", ole("__properties_version1.0")}},
	{"application/vnd.oasis.opendocument.text",
		File{"odt", archive("mimetype", "application/vnd.oasis.opendocument.text", "content.xml", "<x/>")}},
	{"application/vnd.oasis.opendocument.spreadsheet",
		File{"ods", archive("mimetype", "application/vnd.oasis.opendocument.spreadsheet", "content.xml", "<x/>")}},
	{"application/epub+zip",
		File{"epub", archive("mimetype", "application/epub+zip", "META-INF/container.xml", "<x/>")}},
	{"application/vnd.apple.pages application/x-iwork-pages-sffpages",
		File{"pages", archive("Index/Document.iwa", "x", "preview.jpg", "y")}},
	{"application/rtf text/rtf", File{"rtf", []byte(`{\rtf1\ansi{\fonttbl\f0 Arial;}\f0 hello}`)}},
	{"application/x-mobipocket-ebook", File{"mobi", Join("A book", make([]byte, 54), "BOOKMOBI", make([]byte, 20))}},

	// Text
	{"text/plain", File{"one byte", []byte("x")}},
	{"text/plain text/csv text/markdown", File{"white space only", []byte(" \r\n\t")}},
	{"text/plain", File{"latin-1", []byte("Gr\xfc\xdfe aus K\xf6ln, 5 \xa3")}},
	{"text/plain text/csv", File{"UTF-16 with mark", Join("\xff\xfe", utf16LE("größe;wert\r\n1;2\r\n"))}},
	{"text/plain", File{"UTF-16 without mark", utf16LE("Grüße aus Köln")}},
	{"text/plain", File{"UTF-16BE without mark", utf16BE("Grüße aus Köln")}},
	{"text/plain", File{"UTF-8 with mark", []byte("\xef\xbb\xbfGrüße")}},
	{"text/plain", File{"shift-jis", []byte("\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd")}},
	{"text/plain", File{"log with colors", []byte("\x1b[31mERROR\x1b[0m no such file\n")}},
	{"text/plain", File{"text with a control character", []byte("page one\x0cpage two\x1a")}},
	{"text/plain", File{"prose that starts like a program", []byte("MZ is what DOS programs begin with.\n")}},
	{"text/plain", File{"prose that starts like an archive", []byte("BZh, said the bee.\n")}},
	{"text/plain", File{"prose that starts like Flash", []byte("CWS meeting notes\n")}},
	{"text/plain text/markdown", File{"prose about PDF", []byte("A file of this format begins with %PDF-1.7.\n")}},
	{"text/plain text/html", File{"html in plain text", []byte("<html><body>hello</body></html>")}},
	{"text/markdown text/plain",
		File{"markdown that starts with <h1>", []byte("<h1 align=\"center\">Project</h1>\n\n- item\n")}},
	{"text/markdown", File{"markdown that starts with a comment", []byte("<!-- toc -->\n# Project\n")}},
	{"text/csv application/csv", File{"csv with mark", []byte("\xef\xbb\xbfname,size\nx,1\n")}},
	{"text/tab-separated-values application/vnd.ms-excel", File{"tsv", []byte("a\tb\n1\t2\n")}},
	{"application/json text/json text/plain", File{"json", []byte(`{"a": [1, 2, {"b": "<html>"}]}`)}},
	{"application/json", File{"json, a number", []byte("42")}},
	{"application/json", File{"json, cut off", []byte(`{"a":"` + strings.Repeat("x", 5000))}},
	{"application/x-ndjson application/jsonl", File{"ndjson", []byte("{\"a\":1}\n{\"a\":2}\n")}},
	{"application/geo+json", File{"geojson", []byte(`{"type":"FeatureCollection","features":[]}`)}},
	{"application/yaml text/yaml", File{"yaml", []byte("---\na: 1\nb: [x, y]\n")}},
	{"application/toml", File{"toml", []byte("[package]\nname = \"x\"\n")}},
	{"text/calendar", File{"ics", []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n")}},
	{"text/vcard text/x-vcard", File{"vcf", []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nEND:VCARD\r\n")}},
	{"application/x-subrip", File{"srt", []byte("1\n00:00:01,000 --> 00:00:02,000\nhello\n")}},
	{"text/vtt", File{"vtt", []byte("WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n")}},
	{"text/x-go text/plain", File{"go", []byte("package main\n\nfunc main() {}\n")}},
	{"text/x-python", File{"py", []byte("#!/usr/bin/env python3\nprint(1)\n")}},
	{"application/x-sh text/x-sh", File{"sh", []byte("#!/bin/sh\necho hello\n")}},
	{"application/x-httpd-php", File{"php", []byte("<!DOCTYPE html>\n<?php echo 1; ?>\n")}},
	{"application/typescript text/typescript video/mp2t", File{"ts of TypeScript", []byte("const x: number = 1\n")}},
	{"application/sql", File{"sql", []byte("-- dump\nSELECT 1;\n")}},
	{"text/javascript application/javascript", File{"js", []byte("<!-- old\nalert(1)\n")}},
	{"text/css", File{"css", []byte("body { color: red }")}},
	{"text/html application/xhtml+xml", File{"html", []byte("<!doctype html><title>x</title>")}},
	{"application/xml text/xml", File{"xml", []byte(`<?xml version="1.0"?><note/>`)}},
	{"application/gpx+xml",
		File{"gpx", []byte(`<?xml version="1.0"?><gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"/>`)}},
	{"application/vnd.google-earth.kml+xml", File{"kml", []byte(`<kml xmlns="http://www.opengis.net/kml/2.2"/>`)}},
	{"application/x-plist",
		File{"plist", []byte("<?xml version=\"1.0\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple\" \"x\">\n<plist/>")}},
	{"application/x-plist", File{"plist, binary", []byte("bplist00\xd1\x01\x02Q\x00")}},
	{"message/rfc822", File{"eml", []byte("From: a@example.com\r\nSubject: x\r\n\r\nhello\r\n")}},
	{"application/x-pem-file text/plain application/x-x509-ca-cert",
		File{"pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: Noise[:300]})}},
	{"application/pkix-cert application/x-x509-ca-cert",
		File{"der", Join("\x30\x82\x03\x0f\x30\x82\x01\xf7\xa0\x03\x02\x01\x02", Noise[:300])}},
	{"application/x-apple-aspen-config", File{"mobileconfig", []byte(`<?xml version="1.0"?><plist/>`)}},

	// Archives
	{"application/zip application/x-zip-compressed", File{"zip", zipFile}},
	{"application/zip", File{"zip, empty", archive()}},
	{"application/java-archive application/zip",
		File{"jar", archive("META-INF/", "", "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")}},
	{"application/vnd.android.package-archive", File{"apk", archive("AndroidManifest.xml", "x", "classes.dex", "y")}},
	{"application/gzip application/x-gzip", File{"gz", gzipFile}},
	{"application/gzip application/x-compressed-tar", File{"tgz", gzipFile}},
	{"application/x-7z-compressed", File{"7z", Join("7z\xbc\xaf\x27\x1c\x00\x04", make([]byte, 24))}},
	{"application/vnd.rar application/x-rar-compressed",
		File{"rar", []byte("Rar!\x1a\x07\x01\x00\x33\x92\xb5\xe5\x0a\x01\x05\x06\x00\x05")}},
	{"application/vnd.rar",
		File{"rar of a pdf", Join("Rar!\x1a\x07\x01\x00\x33\x92\xb5\xe5\x0a\x01\x05\x06\x00\x05", pdfFile)}},
	{"application/x-tar", File{"tar", tarball("notes.txt", "hello")}},
	{"application/x-tar", File{"tar of a pdf", tarball("a.pdf", string(pdfFile))}},
	{"application/x-tar", File{"tar of a file whose name starts like a program", tarball("MZ.csv", "a,b\n")}},
	{"application/x-bzip2",
		File{"bz2", unhex("425a6839314159265359c1c080e2000001410000100244a00030cd00c3462997177245385090c1c080e2")}},
	{"application/x-xz",
		File{"xz", unhex("fd377a585a000004e6d6b4460200210116000000742fe5a301000568656c6c6f0a000000a56097f194f6fde0")}},
	{"application/zstd", File{"zst", unhex("28b52ffd045831000068656c6c6f0a5388bd91")}},
	{"application/vnd.comicbook+zip", File{"cbz", archive("001.jpg", string(jpegFile))}},
	{"application/vnd.debian.binary-package",
		File{"deb", []byte("!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n")}},

	// Fonts, models, data, programs
	{"font/ttf font/sfnt application/x-font-ttf", File{"ttf", sfnt("\x00\x01\x00\x00", "OS/2")}},
	{"font/ttf", File{"ttf of FontForge", sfnt("\x00\x01\x00\x00", "FFTM")}},
	{"font/otf", File{"otf", sfnt("OTTO", "CFF ")}},
	{"font/otf", File{"otf with CFF2", sfnt("OTTO", "CFF2")}},
	{"font/woff application/font-woff", File{"woff", Join("wOFF\x00\x01\x00\x00", make([]byte, 40))}},
	{"font/woff2", File{"woff2", Join("wOF2\x00\x01\x00\x00", make([]byte, 40))}},
	{"model/gltf-binary", File{"glb", Join("glTF", le32(2), le32(100), le32(80), "JSON{}")}},
	{"model/gltf+json", File{"gltf", []byte(`{"asset":{"version":"2.0"}}`)}},
	{"model/stl text/plain", File{"stl, text", []byte("solid cube\n facet normal 0 0 1\n")}},
	{"model/stl", File{"stl, binary", Join(make([]byte, 80), le32(1), make([]byte, 50))}},
	{"model/obj", File{"obj", []byte("v 0 0 0\nv 0 0 1\nf 1 2 3\n")}},
	{"model/3mf", File{"3mf", archive("[Content_Types].xml", "<Types/>", "3D/3dmodel.model", "<model/>")}},
	{"image/vnd.dxf", File{"dxf", []byte("  0\nSECTION\n  2\nHEADER\n")}},
	{"application/vnd.sqlite3 application/x-sqlite3",
		File{"sqlite", Join("SQLite format 3\x00\x10\x00\x01\x01\x00\x40\x20\x20", make([]byte, 80))}},
	{"application/vnd.apache.parquet", File{"parquet", []byte("PAR1\x15\x04\x15\x10\x15\x14\x4c\x15\x02")}},
	{"application/dicom", File{"dicom", Join(make([]byte, 128), "DICM\x02\x00\x00\x00UL")}},
	{"application/dicom",
		File{"dicom that is also a tiff", Join("II*\x00", make([]byte, 124), "DICM\x02\x00\x00\x00UL")}},
	{"application/x-hdf5", File{"hdf5", Join("\x89HDF\r\n\x1a\n", make([]byte, 40))}},
	{"application/x-blender", File{"blend, compressed", unhex("28b52ffd045831000068656c6c6f0a5388bd91")}},
	{"application/wasm", File{"wasm", []byte("\x00asm\x01\x00\x00\x00")}},
	{"application/vnd.microsoft.portable-executable application/x-msdownload", File{"exe", exeFile}},
	{"application/x-elf application/x-executable", File{"elf", elfFile}},
	{"application/vnd.appimage", File{"appimage", elfFile}},

	// Other files
	{"application/octet-stream binary/octet-stream", File{"png as bytes", PNG}},
	{"application/octet-stream", File{"program as bytes", exeFile}},
	{"application/octet-stream", File{"text as bytes", []byte("hello\n")}},
	{"application/octet-stream application/pgp-encrypted application/x-keepass2", File{"encrypted data", Noise}},
	{"application/vnd.example", File{"a format of its own", Noise}},
	{"application/vnd.example", File{"a format that is a zip", zipFile}},
	{"application/vnd.example", File{"a format that is JSON", []byte(`{"a":1}`)}},
}

// Markups holds files that browsers run. They may be uploaded only with a text
// or markup type.
var Markups = []struct {
	Detected string
	File
}{
	{htmlType, File{"html", []byte("<html><script>alert(1)</script></html>")}},
	{htmlType, File{"html with a doctype", []byte("<!DOCTYPE html><script>alert(1)</script>")}},
	{htmlType, File{"doctype in capitals", []byte("<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">")}},
	{htmlType, File{"script", []byte("<script>alert(1)</script>")}},
	{htmlType, File{"script with a slash", []byte("<sCrIpT/x>alert(1)</script>")}},
	{htmlType, File{"script across lines", []byte("<script\nsrc=//x></script>")}},
	{htmlType, File{"img", []byte("<img src=x onerror=alert(1)>")}},
	{htmlType, File{"iframe", []byte("<iframe srcdoc=x>")}},
	{htmlType, File{"body", []byte("<body onload=alert(1)>")}},
	{htmlType, File{"a", []byte("<a href=javascript:alert(1)>x")}},
	{htmlType, File{"math", []byte("<math href=javascript:alert(1)>x")}},
	{htmlType, File{"h1", []byte("<h1>x</h1>")}},
	{htmlType, File{"html behind a mark", []byte("\xef\xbb\xbf<html>")}},
	{htmlType, File{"html behind a mark and white space", []byte("\xef\xbb\xbf \r\n\t\f<html>")}},
	{htmlType, File{"html behind white space", []byte(strings.Repeat(" \n", 1000) + "<html>")}},
	{htmlType, File{"html behind a comment", []byte("<!-- x --><html>")}},
	{htmlType, File{"html behind comments", []byte("<!-- <svg> --> <!----> <!--> <!-- --> <p>")}},
	{htmlType, File{"html behind an empty comment", []byte("<!--><script>alert(1)</script>")}},
	{htmlType, File{"comment without an end", []byte("<!-- " + strings.Repeat("x", 5000))}},
	{htmlType, File{"html behind odd comments", []byte("<!x><?y></z><script>")}},
	{htmlType, File{"html behind zeros", []byte("\x00\x00<html>")}},
	{htmlType, File{"html with zeros", []byte("<ht\x00ml>")}},
	{htmlType, File{"html in UTF-16LE", utf16LE("<html><script>alert(1)</script>")}},
	{htmlType, File{"html in UTF-16BE", utf16BE("<html><script>alert(1)</script>")}},
	{htmlType, File{"html in UTF-16LE with mark", Join("\xff\xfe", utf16LE(" <!-- x --><html>"))}},
	{htmlType, File{"html in UTF-16BE with mark", Join("\xfe\xff", utf16BE("<!doctype html>"))}},
	{htmlType, File{"html in UTF-32LE with mark", Join("\xff\xfe\x00\x00", utf32LE("<html>"))}},
	{htmlType, File{"html before a pdf", Join("<html>\n", pdfFile)}},
	{htmlType, File{"html before a png", Join("<html>", PNG)}},
	{htmlType, File{"html before mp3 frames", Join("<script>/*", mp3File)}},
	{xhtmlType,
		File{"xhtml", []byte(`<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "x"><html/>`)}},
	{xhtmlType, File{"xhtml without a prolog", []byte(`<html xmlns="http://www.w3.org/1999/xhtml"><script/></html>`)}},
	{xhtmlType,
		File{"xhtml with a prefix", []byte(`<h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:script/></h:html>`)}},
	{svgType, File{"svg", []byte("<svg onload=alert(1)>")}},
	{svgType, File{"svg with a namespace", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`)}},
	{svgType, File{"svg with a prefix", []byte(`<s:svg xmlns:s="http://www.w3.org/2000/svg"/>`)}},
	{svgType, File{"svg behind a mark", []byte("\xef\xbb\xbf<svg onload=alert(1)>")}},
	{svgType, File{"svg behind a comment", []byte("<!-- x --><svg onload=alert(1)>")}},
	{svgType, File{"svg behind white space", []byte("\n\n  <svg/onload=alert(1)>")}},
	{svgType, File{"svg behind a prolog", []byte("<?xml version='1.0'?>\n<!-- x -->\n<svg/>")}},
	{svgType, File{"svg with a doctype", []byte("<!DOCTYPE svg [<!ENTITY x \"y\">]><svg/>")}},
	{svgType, File{"svg in UTF-16LE", utf16LE("<svg onload=alert(1)>")}},
	{svgType, File{"svg in UTF-16BE with mark", Join("\xfe\xff", utf16BE("<?xml version='1.0'?><svg/>"))}},
	{xmlType, File{"xml", []byte(`<?xml version="1.0"?><note/>`)}},
	{xmlType, File{"xml with a stylesheet", []byte(`<?xml-stylesheet href="x.xsl"?><note/>`)}},
	{xmlType, File{"xml behind a mark", []byte("\xef\xbb\xbf<?xml version=\"1.0\"?><note/>")}},
	{xmlType,
		File{"xslt without a prolog", []byte(`<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform"/>`)}},
	{xmlType, File{"xml in UTF-16", Join("\xff\xfe", utf16LE(`<?xml version="1.0"?><note/>`))}},
	{xmlType, File{"xml with a doctype", []byte("<!DOCTYPE note SYSTEM 'x'><note/>")}},
}

// NotMarkup holds types, with and without a signature, whose files must not be
// markup.
var NotMarkup = []string{
	"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/heic", "image/tiff",
	"image/x-tga", "image/vnd.example",
	"video/mp4", "video/webm", "video/mp2t", "video/quicktime",
	"audio/mpeg", "audio/ogg", "audio/basic",
	"font/ttf", "font/woff2", "font/example", "model/stl",
	"application/pdf", "application/zip", "application/json", "application/msword",
	"application/vnd.ms-excel", "application/octet-stream", "application/vnd.example",
	"application/rtf", "application/wasm",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}

// Mismatches holds files whose granted type differs from the type of their
// content.
var Mismatches = []struct {
	Granted, Detected string
	File
}{
	{"image/png", "image/jpeg", File{"jpeg", jpegFile}},
	{"image/png", "image/gif", File{"gif", gifFile}},
	{"image/png", "application/pdf", File{"pdf", pdfFile}},
	{"image/png", "application/zip", File{"zip", zipFile}},
	{"image/png", "text/plain", File{"text", []byte("hello <script>")}},
	{"image/png", "application/json", File{"json", []byte(`{"a":1}`)}},
	{"image/png", "text/x-php", File{"php", []byte("<?php system($_GET[0]);")}},
	{"image/png", "text/x-shellscript", File{"sh", []byte("#!/bin/sh\n")}},
	{"image/png", "application/vnd.microsoft.portable-executable", File{"exe", exeFile}},
	{"image/png", "", File{"Noise", Noise}},
	{"image/png", "text/plain", File{"one byte", []byte("\x89")}},
	{"image/jpeg", "image/png", File{"png", PNG}},
	{"image/jpeg", "application/x-executable", File{"elf", elfFile}},
	{"image/gif", "image/png", File{"png", PNG}},
	{"image/webp", "audio/wav", File{"wav", wavFile}},
	{"image/tiff", "", File{"Noise", Noise}},
	{"image/bmp", "text/plain", File{"text", []byte("BM is for bitmap")}},
	{"image/heic", "image/jpeg", File{"jpeg", jpegFile}},
	{"image/avif", "video/webm", File{"webm", ebml("webm")}},
	{"image/x-tga", "application/vnd.microsoft.portable-executable", File{"exe", exeFile}},
	{"image/x-tga", "text/plain", File{"text", []byte("hello")}},
	{"image/x-adobe-dng", "application/pdf", File{"pdf", pdfFile}},
	{"image/svg+xml", "text/plain", File{"text", []byte("hello")}},
	{"image/svg+xml", "image/png", File{"png", PNG}},
	{"image/svg+xml", "text/html", File{"html", []byte("<html><svg/></html>")}},
	{"image/svg+xml", "text/xml", File{"xml", []byte(`<?xml version="1.0"?><note/>`)}},
	{"application/gpx+xml", "image/svg+xml", File{"svg", []byte(`<?xml version="1.0"?><svg/>`)}},
	{"application/gpx+xml", "text/html", File{"html", []byte(`<html>`)}},
	{"application/gpx+xml", "application/zip", File{"zip", zipFile}},
	{"application/xhtml+xml", "image/svg+xml", File{"svg", []byte(`<svg/>`)}},
	{"application/x-plist", "text/html", File{"html", []byte(`<html>`)}},
	{"video/mp4", "video/webm", File{"webm", ebml("webm")}},
	{"video/mp4", "image/png", File{"png", PNG}},
	{"video/mp4", "", File{"Noise", Noise}},
	{"video/webm", "video/mp4", File{"mp4", mp4File}},
	{"video/ogg", "audio/mpeg", File{"mp3", mp3File}},
	{"audio/mpeg", "text/plain", File{"text", []byte("hello")}},
	{"audio/mpeg", "application/zip", File{"zip", zipFile}},
	{"audio/wav", "audio/ogg", File{"ogg", ogg("OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00")}},
	{"audio/ogg", "audio/flac", File{"flac", []byte("fLaC\x00\x00\x00\x22\x10")}},
	{"application/pdf", "application/zip", File{"zip", zipFile}},
	{"application/pdf", "text/plain", File{"text", []byte("hello")}},
	{"application/pdf", "image/png", File{"png", PNG}},
	{"application/pdf", "application/x-tar", File{"tar of a pdf", tarball("a.pdf", string(pdfFile))}},
	{"text/pdf", "text/plain", File{"text", []byte("hello")}},
	{"application/msword", "application/zip", File{"zip", zipFile}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/pdf",
		File{"pdf", pdfFile}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "text/plain",
		File{"text", []byte("hello")}},
	{"application/zip", "application/vnd.rar", File{"rar", []byte("Rar!\x1a\x07\x01\x00\x33\x92")}},
	{"application/zip", "application/msword", File{"doc", oleFile}},
	{"application/gzip", "application/zip", File{"zip", zipFile}},
	{"application/x-tar", "application/gzip", File{"gz", gzipFile}},
	{"text/plain", "image/png", File{"png", PNG}},
	{"text/plain", "application/vnd.microsoft.portable-executable", File{"exe", exeFile}},
	{"text/plain", "application/pdf", File{"pdf", pdfFile}},
	{"text/plain", "application/pdf", File{"pdf that is all text", []byte("%PDF-1.4\n1 0 obj\n")}},
	{"text/csv", "application/zip", File{"xlsx", zipFile}},
	{"text/csv", "application/msword", File{"doc", oleFile}},
	{"text/html", "image/gif", File{"gif", gifFile}},
	{"text/markdown", "application/gzip", File{"gz", gzipFile}},
	{"application/json", "image/png", File{"png", PNG}},
	{"application/json", "application/zip", File{"zip", zipFile}},
	{"application/yaml", "application/x-executable", File{"elf", elfFile}},
	{"message/rfc822", "image/jpeg", File{"jpeg", jpegFile}},
	{"font/woff2", "font/ttf", File{"ttf", sfnt("\x00\x01\x00\x00", "OS/2")}},
	{"font/ttf", "text/plain", File{"text", []byte("hello")}},
	{"font/example", "application/vnd.microsoft.portable-executable", File{"exe", exeFile}},
	{"application/vnd.example", "application/vnd.microsoft.portable-executable", File{"exe", exeFile}},
	{"application/vnd.example", "image/png", File{"png", PNG}},
	{"application/vnd.sqlite3", "text/plain", File{"text", []byte("hello")}},
	{"application/dicom", "image/jpeg", File{"jpeg", jpegFile}},
	{"application/wasm", "", File{"Noise", Noise}},
	{"application/x-shockwave-flash", "image/png", File{"png", PNG}},
	{"model/stl", "application/vnd.microsoft.portable-executable", File{"exe", exeFile}},
}
