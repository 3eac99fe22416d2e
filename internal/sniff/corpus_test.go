package sniff

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

// file is the beginning of a real file, put together by hand or by an encoder.
type file struct {
	name string
	data []byte
}

var (
	picture = image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.Black, color.White})

	pngFile  = made(func(b *bytes.Buffer) error { return png.Encode(b, picture) })
	jpegFile = made(func(b *bytes.Buffer) error { return jpeg.Encode(b, picture, nil) })
	gifFile  = made(func(b *bytes.Buffer) error { return gif.Encode(b, picture, nil) })
	pdfFile  = []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n" +
		"4 0 obj\n<</Length 8/Filter/FlateDecode>>\nstream\nx\x9c\x03\x00\x00\x00\x00\x01\nendstream\nendobj\n")
	zipFile  = archive("notes.txt", "hello")
	docxFile = archive("[Content_Types].xml", `<?xml version="1.0"?><Types/>`, "_rels/.rels", "<Relationships/>",
		"word/document.xml", "<w:document/>")
	gzipFile = made(func(b *bytes.Buffer) error {
		w := gzip.NewWriter(b)
		w.Write([]byte("hello"))
		return w.Close()
	})
	mp4File  = ftyp("isom", "isom", "iso2", "avc1", "mp41")
	mp3Frame = append([]byte{0xff, 0xfb, 0x90, 0x64}, make([]byte, 413)...)
	mp3File  = bytes.Repeat(mp3Frame, 4)
	id3      = join("ID3\x03\x00\x00\x00\x00\x0f\x76TIT2\x00\x00\x00\x05\x00\x00\x00Song", make([]byte, 2000))
	wavFile  = join("RIFF", le32(2084), "WAVEfmt ", le32(16), le16(1), le16(1), le32(8000),
		le32(16000), le16(2), le16(16), "data", le32(2048), make([]byte, 2048))
	exeFile = join("MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00\xb8", make([]byte, 43), le32(128),
		make([]byte, 64), "PE\x00\x00d\x86")
	elfFile = join("\x7fELF\x02\x01\x01", make([]byte, 9), le16(2), le16(62), le32(1), make([]byte, 40))
	oleFile = ole("WordDocument")
	noise   = bytes.Repeat([]byte("\x93\x07\xe1\x00\x5a\xc8\x11\xf0\x3d"), 400)
)

func made(write func(*bytes.Buffer) error) []byte {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func join(parts ...any) []byte {
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

// utf16LE and utf16BE have no byte order mark.
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

// archive returns a zip of names and contents in turn. An entry "mimetype" is stored, as OpenDocument and EPUB want.
func archive(entries ...string) []byte {
	return made(func(b *bytes.Buffer) error {
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
	return made(func(b *bytes.Buffer) error {
		w := tar.NewWriter(b)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		w.Write([]byte(content))
		return w.Close()
	})
}

// ftyp returns an ISO base media file: its first box, and the beginning of another.
func ftyp(brand string, compatible ...string) []byte {
	size := uint32(16 + 4*len(compatible))
	return join(be32(size), "ftyp", brand, be32(512), strings.Join(compatible, ""),
		be32(1000), "meta", make([]byte, 992))
}

func ebml(docType string) []byte {
	return join("\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82",
		[]byte{0x80 | byte(len(docType))}, docType, "\x42\x87\x81\x04\x42\x85\x81\x02",
		"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", make([]byte, 100))
}

func ogg(packet string) []byte {
	return join("OggS\x00\x02", make([]byte, 8), le32(1234), le32(0), le32(0x5a5a5a5a),
		[]byte{1, byte(len(packet))}, packet)
}

// ole returns a compound file of version 3 with one stream: header, FAT, directory.
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
	header := join("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", make([]byte, 16), le16(0x3e), le16(3), le16(0xfffe), le16(9),
		le16(6), make([]byte, 10), le32(1), le32(1), le32(0), le32(4096), le32(0xfffffffe), le32(0), le32(0xfffffffe),
		le32(0), le32(0), bytes.Repeat([]byte{0xff}, 432))
	fat := join(le32(0xfffffffd), le32(0xfffffffe), bytes.Repeat([]byte{0xff}, 504))
	return join(header, fat, entry("Root Entry", 5, 1), entry(stream, 2, 0xffffffff), make([]byte, 256))
}

func sfnt(version, table string) []byte {
	return join(version, "\x00\x01\x00\x10\x00\x00\x00\x00", table, be32(0), be32(28), be32(64), make([]byte, 64))
}

// legitimate files, by the types that they may be granted. More than one name of a format stands for its aliases.
var legitimate = []struct {
	granted string
	file
}{
	// Images
	{"image/png image/x-png image/apng", file{"png", pngFile}},
	{"image/jpeg image/jpg image/pjpeg", file{"jpeg", jpegFile}},
	{"image/gif", file{"gif", gifFile}},
	{"image/webp",
		file{"webp", join("RIFF", le32(26), "WEBPVP8L", le32(13), unhex("2f00000010 0710 1111 8888 fe07 00"))}},
	{"image/avif", file{"avif", ftyp("avif", "avif", "mif1", "miaf")}},
	{"image/heic image/heif", file{"heic", ftyp("heic", "mif1", "heic")}},
	{"image/heif image/heic", file{"heif of an iPhone", ftyp("mif1", "mif1", "heic")}},
	{"image/heic-sequence image/heic", file{"heic burst", ftyp("hevc", "msf1", "hevc")}},
	{"image/tiff", file{"tiff", join("II*\x00", le32(8), le16(1), le16(256), le16(4), le32(1), le32(1), le32(0))}},
	{"image/tiff", file{"tiff, big-endian", unhex("4d4d002a00000008 0001 0100 0004 00000001 00000001 00000000")}},
	{"image/tiff", file{"BigTIFF", unhex("49492b0008000000 1000000000000000 0000000000000000")}},
	{"image/x-adobe-dng",
		file{"dng", join("II*\x00", le32(8), le16(1), le16(0xc612), le16(1), le32(4), le32(0x401), le32(0))}},
	{"image/x-nikon-nef", file{"nef", unhex("4d4d002a00000008 0001 00fe 0004 00000001 00000001 00000000")}},
	{"image/x-canon-cr2", file{"cr2", unhex("49492a0010000000 4352 0200 00000000 1200")}},
	{"image/x-canon-cr3", file{"cr3", ftyp("crx ", "crx ", "isom")}},
	{"image/x-fuji-raf", file{"raf", join("FUJIFILMCCD-RAW 0201FF383901", make([]byte, 64))}},
	{"image/x-olympus-orf", file{"orf", join("IIRO", le32(8), make([]byte, 64))}},
	{"image/bmp image/x-ms-bmp",
		file{"bmp",
			join("BM", le32(62), le32(0), le32(54), le32(40), le32(1), le32(1), le16(1), le16(24), make([]byte, 32))}},
	{"image/bmp",
		file{"bmp of OS/2",
			join("BM", le32(30), le32(0), le32(26), le32(12), le16(1), le16(1), le16(1), le16(24), le32(0))}},
	{"image/x-icon image/vnd.microsoft.icon",
		file{"ico", join(unhex("000001000100 1010000001002000"), le32(40), le32(22), le32(40), make([]byte, 36))}},
	{"image/x-icon", file{"ico that is a png", pngFile}},
	{"image/vnd.adobe.photoshop image/x-photoshop",
		file{"psd", join("8BPS\x00\x01", make([]byte, 6), "\x00\x03", be32(1), be32(1), "\x00\x08\x00\x03")}},
	{"image/jxl", file{"jxl", unhex("ff0afa1f41911004002000 4b18")}},
	{"image/jxl",
		file{"jxl container", join("\x00\x00\x00\x0cJXL \r\n\x87\n", be32(20), "ftypjxl \x00\x00\x00\x00jxl ")}},
	{"image/jp2", file{"jp2", join("\x00\x00\x00\x0cjP  \r\n\x87\n", be32(20), "ftypjp2 \x00\x00\x00\x00jp2 ")}},
	{"image/x-tga", file{"tga", join(unhex("00000200000000000000000008000800 1800"), make([]byte, 192))}},
	{"image/svg+xml", file{"svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)}},
	{"image/svg+xml",
		file{"svg of a program",
			[]byte("<?xml version=\"1.0\"?>\n<!-- Generator -->\n<!DOCTYPE svg PUBLIC \"-//W3C\" \"x\">\n<svg/>")}},
	{"image/svg+xml",
		file{"svg in UTF-16", join("\xff\xfe", utf16LE(`<?xml version="1.0" encoding="UTF-16"?><svg:svg/>`))}},
	{"image/svg+xml",
		file{"svg behind a licence",
			[]byte("<?xml version=\"1.0\"?><!--" + strings.Repeat(" licence", 1000) + "--><svg/>")}},
	{"image/svg+xml", file{"svgz", gzipFile}},

	// Video
	{"video/mp4 video/x-m4v audio/mp4", file{"mp4", mp4File}},
	{"video/mp4 video/x-m4v", file{"m4v", ftyp("M4V ", "M4V ", "mp42")}},
	{"video/mp4", file{"mp4 of a Sony camera", ftyp("XAVC", "XAVC", "mp42")}},
	{"video/quicktime video/mp4", file{"mov", ftyp("qt  ", "qt  ")}},
	{"video/quicktime",
		file{"mov without ftyp", join(be32(8), "wide", be32(4000), "mdat", bytes.Repeat([]byte("\x9f\x01"), 100))}},
	{"video/3gpp audio/3gpp", file{"3gp", ftyp("3gp5", "3gp5", "isom")}},
	{"video/webm audio/webm", file{"webm", ebml("webm")}},
	{"video/x-matroska audio/x-matroska video/webm", file{"mkv", ebml("matroska")}},
	{"video/ogg application/ogg", file{"ogv", ogg("\x80theora\x03\x02\x01" + strings.Repeat("\x00", 34))}},
	{"video/x-msvideo",
		file{"avi", join("RIFF", le32(1000), "AVI LIST", le32(192), "hdrlavih", le32(56), make([]byte, 56))}},
	{"video/mp2t", file{"ts", bytes.Repeat(join("G\x40\x00\x10\x00", bytes.Repeat([]byte{0xff}, 183)), 8)}},
	{"video/mp2t", file{"ts with mp3 in it", join("G\x40\x00\x10\x00", bytes.Repeat([]byte{0xff}, 183), mp3File)}},
	{"video/mpeg",
		file{"mpg",
			join("\x00\x00\x01\xba\x44\x00\x04\x00\x04\x01\x01\x89\xc3\xf8\x00\x00\x01\xbb", make([]byte, 100))}},
	{"video/x-ms-wmv video/x-ms-asf audio/x-ms-wma",
		file{"wmv", join(unhex("3026b2758e66cf11a6d900aa0062ce6c"), make([]byte, 100))}},

	// Audio
	{"audio/mp4 audio/x-m4a audio/mpeg", file{"m4a", ftyp("M4A ", "M4A ", "mp42")}},
	{"audio/mpeg audio/mp3", file{"mp3", mp3File}},
	{"audio/mpeg audio/mp3", file{"mp3 with ID3", join(id3, mp3File)}},
	{"audio/mpeg", file{"mp3 behind zeros", join(make([]byte, 500), mp3File)}},
	{"audio/wav audio/x-wav audio/wave", file{"wav", wavFile}},
	{"audio/wav", file{"wav over 4 GiB", join("RF64\xff\xff\xff\xffWAVEds64", le32(28), make([]byte, 28))}},
	{"audio/flac audio/x-flac", file{"flac", join("fLaC\x00\x00\x00\x22\x10\x00\x10\x00", make([]byte, 30))}},
	{"audio/flac", file{"flac without more metadata", join("fLaC\x80\x00\x00\x22\x10\x00\x10\x00", make([]byte, 30))}},
	{"audio/flac", file{"flac with ID3", join(id3, "fLaC\x00\x00\x00\x22")}},
	{"audio/aac", file{"aac", bytes.Repeat(join("\xff\xf1\x50\x80\x02\x1f\xfc", make([]byte, 9)), 50)}},
	{"audio/ogg audio/vorbis application/ogg",
		file{"ogg", ogg("\x01vorbis\x00\x00\x00\x00\x02" + strings.Repeat("\x00", 18))}},
	{"audio/opus audio/ogg", file{"opus", ogg("OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00")}},
	{"audio/webm", file{"weba", ebml("webm")}},
	{"audio/midi audio/mid", file{"mid", join("MThd", be32(6), "\x00\x01\x00\x02\x01\xe0MTrk")}},
	{"audio/amr", file{"amr", []byte("#!AMR\n\x3c\x91\x17\x16\xbe\x66")}},
	{"audio/aiff", file{"aiff", join("FORM", be32(100), "AIFFCOMM", be32(18), make([]byte, 18))}},
	{"audio/aiff", file{"aifc", join("FORM", be32(100), "AIFCFVER", be32(4), make([]byte, 18))}},

	// Documents
	{"application/pdf application/x-pdf text/pdf", file{"pdf", pdfFile}},
	{"application/pdf", file{"pdf behind junk", join("\x00\x1b\x00\x05junk\r\n", pdfFile)}},
	{"application/pdf", file{"pdf behind lines", join(strings.Repeat("\n", 500), pdfFile)}},
	{"application/pdf", file{"pdf that is all text", []byte("%PDF-1.4\n1 0 obj\n<<>>\nendobj\n")}},
	{"application/illustrator application/postscript", file{"ai", pdfFile}},
	{"application/postscript", file{"eps", []byte("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n")}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document application/zip", file{"docx", docxFile}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		file{"docx, encrypted", ole("EncryptedPackage")}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		file{"docx in another order", archive("foo/x.xml", "<x/>", "word/document.xml", "<w:document/>")}},
	{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
		file{"xlsx", archive("[Content_Types].xml", "<Types/>", "_rels/.rels", "<Relationships/>", "xl/workbook.xml",
			"<workbook/>")}},
	{"application/vnd.ms-excel.sheet.macroenabled.12",
		file{"xlsm", archive("[Content_Types].xml", "<Types/>", "xl/workbook.xml", "<workbook/>")}},
	{"application/vnd.openxmlformats-officedocument.presentationml.presentation",
		file{"pptx", archive("[Content_Types].xml", "<Types/>", "ppt/presentation.xml", "<p/>")}},
	{"application/msword", file{"doc", oleFile}},
	{"application/msword", file{"doc that is RTF", []byte(`{\rtf1\ansi hello}`)}},
	{"application/vnd.ms-excel", file{"xls", ole("Workbook")}},
	{"application/vnd.ms-excel text/csv text/plain", file{"csv on Windows", []byte("a,b\r\n1,2\r\n")}},
	{"application/vnd.ms-powerpoint", file{"ppt", ole("PowerPoint Document")}},
	{"application/vnd.ms-outlook", file{"msg", ole("__properties_version1.0")}},
	{"application/vnd.oasis.opendocument.text",
		file{"odt", archive("mimetype", "application/vnd.oasis.opendocument.text", "content.xml", "<x/>")}},
	{"application/vnd.oasis.opendocument.spreadsheet",
		file{"ods", archive("mimetype", "application/vnd.oasis.opendocument.spreadsheet", "content.xml", "<x/>")}},
	{"application/epub+zip",
		file{"epub", archive("mimetype", "application/epub+zip", "META-INF/container.xml", "<x/>")}},
	{"application/vnd.apple.pages application/x-iwork-pages-sffpages",
		file{"pages", archive("Index/Document.iwa", "x", "preview.jpg", "y")}},
	{"application/rtf text/rtf", file{"rtf", []byte(`{\rtf1\ansi{\fonttbl\f0 Arial;}\f0 hello}`)}},
	{"application/x-mobipocket-ebook", file{"mobi", join("A book", make([]byte, 54), "BOOKMOBI", make([]byte, 20))}},

	// Text
	{"text/plain", file{"one byte", []byte("x")}},
	{"text/plain text/csv text/markdown", file{"white space only", []byte(" \r\n\t")}},
	{"text/plain", file{"latin-1", []byte("Gr\xfc\xdfe aus K\xf6ln, 5 \xa3")}},
	{"text/plain text/csv", file{"UTF-16 with mark", join("\xff\xfe", utf16LE("größe;wert\r\n1;2\r\n"))}},
	{"text/plain", file{"UTF-16 without mark", utf16LE("Grüße aus Köln")}},
	{"text/plain", file{"UTF-16BE without mark", utf16BE("Grüße aus Köln")}},
	{"text/plain", file{"UTF-8 with mark", []byte("\xef\xbb\xbfGrüße")}},
	{"text/plain", file{"shift-jis", []byte("\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd")}},
	{"text/plain", file{"log with colours", []byte("\x1b[31mERROR\x1b[0m no such file\n")}},
	{"text/plain", file{"text with a control character", []byte("page one\x0cpage two\x1a")}},
	{"text/plain", file{"prose that begins like a program", []byte("MZ is what DOS programs begin with.\n")}},
	{"text/plain", file{"prose that begins like an archive", []byte("BZh, said the bee.\n")}},
	{"text/plain", file{"prose that begins like Flash", []byte("CWS meeting notes\n")}},
	{"text/plain text/markdown", file{"prose about PDF", []byte("A file of this format begins with %PDF-1.7.\n")}},
	{"text/plain text/html", file{"html in plain text", []byte("<html><body>hello</body></html>")}},
	{"text/markdown text/plain",
		file{"markdown that begins with <h1>", []byte("<h1 align=\"center\">Project</h1>\n\n- item\n")}},
	{"text/markdown", file{"markdown that begins with a comment", []byte("<!-- toc -->\n# Project\n")}},
	{"text/csv application/csv", file{"csv with mark", []byte("\xef\xbb\xbfname,size\nx,1\n")}},
	{"text/tab-separated-values application/vnd.ms-excel", file{"tsv", []byte("a\tb\n1\t2\n")}},
	{"application/json text/json text/plain", file{"json", []byte(`{"a": [1, 2, {"b": "<html>"}]}`)}},
	{"application/json", file{"json, a number", []byte("42")}},
	{"application/json", file{"json, cut off", []byte(`{"a":"` + strings.Repeat("x", 5000))}},
	{"application/x-ndjson application/jsonl", file{"ndjson", []byte("{\"a\":1}\n{\"a\":2}\n")}},
	{"application/geo+json", file{"geojson", []byte(`{"type":"FeatureCollection","features":[]}`)}},
	{"application/yaml text/yaml", file{"yaml", []byte("---\na: 1\nb: [x, y]\n")}},
	{"application/toml", file{"toml", []byte("[package]\nname = \"x\"\n")}},
	{"text/calendar", file{"ics", []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n")}},
	{"text/vcard text/x-vcard", file{"vcf", []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nEND:VCARD\r\n")}},
	{"application/x-subrip", file{"srt", []byte("1\n00:00:01,000 --> 00:00:02,000\nhello\n")}},
	{"text/vtt", file{"vtt", []byte("WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n")}},
	{"text/x-go text/plain", file{"go", []byte("package main\n\nfunc main() {}\n")}},
	{"text/x-python", file{"py", []byte("#!/usr/bin/env python3\nprint(1)\n")}},
	{"application/x-sh text/x-sh", file{"sh", []byte("#!/bin/sh\necho hello\n")}},
	{"application/x-httpd-php", file{"php", []byte("<!DOCTYPE html>\n<?php echo 1; ?>\n")}},
	{"application/typescript text/typescript video/mp2t", file{"ts of TypeScript", []byte("const x: number = 1\n")}},
	{"application/sql", file{"sql", []byte("-- dump\nSELECT 1;\n")}},
	{"text/javascript application/javascript", file{"js", []byte("<!-- old\nalert(1)\n")}},
	{"text/css", file{"css", []byte("body { color: red }")}},
	{"text/html application/xhtml+xml", file{"html", []byte("<!doctype html><title>x</title>")}},
	{"application/xml text/xml", file{"xml", []byte(`<?xml version="1.0"?><note/>`)}},
	{"application/gpx+xml",
		file{"gpx", []byte(`<?xml version="1.0"?><gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"/>`)}},
	{"application/vnd.google-earth.kml+xml", file{"kml", []byte(`<kml xmlns="http://www.opengis.net/kml/2.2"/>`)}},
	{"application/x-plist",
		file{"plist", []byte("<?xml version=\"1.0\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple\" \"x\">\n<plist/>")}},
	{"application/x-plist", file{"plist, binary", []byte("bplist00\xd1\x01\x02Q\x00")}},
	{"message/rfc822", file{"eml", []byte("From: a@example.com\r\nSubject: x\r\n\r\nhello\r\n")}},
	{"application/x-pem-file text/plain application/x-x509-ca-cert",
		file{"pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: noise[:300]})}},
	{"application/pkix-cert application/x-x509-ca-cert",
		file{"der", join("\x30\x82\x03\x0f\x30\x82\x01\xf7\xa0\x03\x02\x01\x02", noise[:300])}},
	{"application/x-apple-aspen-config", file{"mobileconfig", []byte(`<?xml version="1.0"?><plist/>`)}},

	// Archives
	{"application/zip application/x-zip-compressed", file{"zip", zipFile}},
	{"application/zip", file{"zip, empty", archive()}},
	{"application/java-archive application/zip",
		file{"jar", archive("META-INF/", "", "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")}},
	{"application/vnd.android.package-archive", file{"apk", archive("AndroidManifest.xml", "x", "classes.dex", "y")}},
	{"application/gzip application/x-gzip", file{"gz", gzipFile}},
	{"application/gzip application/x-compressed-tar", file{"tgz", gzipFile}},
	{"application/x-7z-compressed", file{"7z", join("7z\xbc\xaf\x27\x1c\x00\x04", make([]byte, 24))}},
	{"application/vnd.rar application/x-rar-compressed",
		file{"rar", []byte("Rar!\x1a\x07\x01\x00\x33\x92\xb5\xe5\x0a\x01\x05\x06\x00\x05")}},
	{"application/vnd.rar",
		file{"rar of a pdf", join("Rar!\x1a\x07\x01\x00\x33\x92\xb5\xe5\x0a\x01\x05\x06\x00\x05", pdfFile)}},
	{"application/x-tar", file{"tar", tarball("notes.txt", "hello")}},
	{"application/x-tar", file{"tar of a pdf", tarball("a.pdf", string(pdfFile))}},
	{"application/x-tar", file{"tar of a file whose name is that of a program", tarball("MZ.csv", "a,b\n")}},
	{"application/x-bzip2",
		file{"bz2", unhex("425a6839314159265359c1c080e2000001410000100244a00030cd00c3462997177245385090c1c080e2")}},
	{"application/x-xz",
		file{"xz", unhex("fd377a585a000004e6d6b4460200210116000000742fe5a301000568656c6c6f0a000000a56097f194f6fde0")}},
	{"application/zstd", file{"zst", unhex("28b52ffd045831000068656c6c6f0a5388bd91")}},
	{"application/vnd.comicbook+zip", file{"cbz", archive("001.jpg", string(jpegFile))}},
	{"application/vnd.debian.binary-package",
		file{"deb", []byte("!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n")}},

	// Fonts, models, data, programs
	{"font/ttf font/sfnt application/x-font-ttf", file{"ttf", sfnt("\x00\x01\x00\x00", "OS/2")}},
	{"font/ttf", file{"ttf of FontForge", sfnt("\x00\x01\x00\x00", "FFTM")}},
	{"font/otf", file{"otf", sfnt("OTTO", "CFF ")}},
	{"font/otf", file{"otf with CFF2", sfnt("OTTO", "CFF2")}},
	{"font/woff application/font-woff", file{"woff", join("wOFF\x00\x01\x00\x00", make([]byte, 40))}},
	{"font/woff2", file{"woff2", join("wOF2\x00\x01\x00\x00", make([]byte, 40))}},
	{"model/gltf-binary", file{"glb", join("glTF", le32(2), le32(100), le32(80), "JSON{}")}},
	{"model/gltf+json", file{"gltf", []byte(`{"asset":{"version":"2.0"}}`)}},
	{"model/stl text/plain", file{"stl, text", []byte("solid cube\n facet normal 0 0 1\n")}},
	{"model/stl", file{"stl, binary", join(make([]byte, 80), le32(1), make([]byte, 50))}},
	{"model/obj", file{"obj", []byte("v 0 0 0\nv 0 0 1\nf 1 2 3\n")}},
	{"model/3mf", file{"3mf", archive("[Content_Types].xml", "<Types/>", "3D/3dmodel.model", "<model/>")}},
	{"image/vnd.dxf", file{"dxf", []byte("  0\nSECTION\n  2\nHEADER\n")}},
	{"application/vnd.sqlite3 application/x-sqlite3",
		file{"sqlite", join("SQLite format 3\x00\x10\x00\x01\x01\x00\x40\x20\x20", make([]byte, 80))}},
	{"application/vnd.apache.parquet", file{"parquet", []byte("PAR1\x15\x04\x15\x10\x15\x14\x4c\x15\x02")}},
	{"application/dicom", file{"dicom", join(make([]byte, 128), "DICM\x02\x00\x00\x00UL")}},
	{"application/dicom",
		file{"dicom that is a tiff, too", join("II*\x00", make([]byte, 124), "DICM\x02\x00\x00\x00UL")}},
	{"application/x-hdf5", file{"hdf5", join("\x89HDF\r\n\x1a\n", make([]byte, 40))}},
	{"application/x-blender", file{"blend, compressed", unhex("28b52ffd045831000068656c6c6f0a5388bd91")}},
	{"application/wasm", file{"wasm", []byte("\x00asm\x01\x00\x00\x00")}},
	{"application/vnd.microsoft.portable-executable application/x-msdownload", file{"exe", exeFile}},
	{"application/x-elf application/x-executable", file{"elf", elfFile}},
	{"application/vnd.appimage", file{"appimage", elfFile}},

	// Whatever is not known better
	{"application/octet-stream binary/octet-stream", file{"png as bytes", pngFile}},
	{"application/octet-stream", file{"program as bytes", exeFile}},
	{"application/octet-stream", file{"text as bytes", []byte("hello\n")}},
	{"application/octet-stream application/pgp-encrypted application/x-keepass2", file{"what is encrypted", noise}},
	{"application/vnd.example", file{"a format of its own", noise}},
	{"application/vnd.example", file{"a format that is a zip", zipFile}},
	{"application/vnd.example", file{"a format that is JSON", []byte(`{"a":1}`)}},
}

// markups are files that browsers run, each of which only a type of text or of markup may hold.
var markups = []struct {
	detected string
	file
}{
	{htmlType, file{"html", []byte("<html><script>alert(1)</script></html>")}},
	{htmlType, file{"html with a doctype", []byte("<!DOCTYPE html><script>alert(1)</script>")}},
	{htmlType, file{"doctype in capitals", []byte("<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">")}},
	{htmlType, file{"script", []byte("<script>alert(1)</script>")}},
	{htmlType, file{"script with a slash", []byte("<sCrIpT/x>alert(1)</script>")}},
	{htmlType, file{"script across lines", []byte("<script\nsrc=//x></script>")}},
	{htmlType, file{"img", []byte("<img src=x onerror=alert(1)>")}},
	{htmlType, file{"iframe", []byte("<iframe srcdoc=x>")}},
	{htmlType, file{"body", []byte("<body onload=alert(1)>")}},
	{htmlType, file{"a", []byte("<a href=javascript:alert(1)>x")}},
	{htmlType, file{"math", []byte("<math href=javascript:alert(1)>x")}},
	{htmlType, file{"h1", []byte("<h1>x</h1>")}},
	{htmlType, file{"html behind a mark", []byte("\xef\xbb\xbf<html>")}},
	{htmlType, file{"html behind a mark and white space", []byte("\xef\xbb\xbf \r\n\t\f<html>")}},
	{htmlType, file{"html behind white space", []byte(strings.Repeat(" \n", 1000) + "<html>")}},
	{htmlType, file{"html behind a comment", []byte("<!-- x --><html>")}},
	{htmlType, file{"html behind comments", []byte("<!-- <svg> --> <!----> <!--> <!-- --> <p>")}},
	{htmlType, file{"html behind an empty comment", []byte("<!--><script>alert(1)</script>")}},
	{htmlType, file{"comment without an end", []byte("<!-- " + strings.Repeat("x", 5000))}},
	{htmlType, file{"html behind odd comments", []byte("<!x><?y></z><script>")}},
	{htmlType, file{"html behind zeros", []byte("\x00\x00<html>")}},
	{htmlType, file{"html with zeros", []byte("<ht\x00ml>")}},
	{htmlType, file{"html in UTF-16LE", utf16LE("<html><script>alert(1)</script>")}},
	{htmlType, file{"html in UTF-16BE", utf16BE("<html><script>alert(1)</script>")}},
	{htmlType, file{"html in UTF-16LE with mark", join("\xff\xfe", utf16LE(" <!-- x --><html>"))}},
	{htmlType, file{"html in UTF-16BE with mark", join("\xfe\xff", utf16BE("<!doctype html>"))}},
	{htmlType, file{"html in UTF-32LE with mark", join("\xff\xfe\x00\x00", utf32LE("<html>"))}},
	{htmlType, file{"html before a pdf", join("<html>\n", pdfFile)}},
	{htmlType, file{"html before a png", join("<html>", pngFile)}},
	{htmlType, file{"html before mp3 frames", join("<script>/*", mp3File)}},
	{xhtmlType,
		file{"xhtml", []byte(`<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "x"><html/>`)}},
	{xhtmlType, file{"xhtml without a prolog", []byte(`<html xmlns="http://www.w3.org/1999/xhtml"><script/></html>`)}},
	{xhtmlType,
		file{"xhtml with a prefix", []byte(`<h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:script/></h:html>`)}},
	{svgType, file{"svg", []byte("<svg onload=alert(1)>")}},
	{svgType, file{"svg with a namespace", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`)}},
	{svgType, file{"svg with a prefix", []byte(`<s:svg xmlns:s="http://www.w3.org/2000/svg"/>`)}},
	{svgType, file{"svg behind a mark", []byte("\xef\xbb\xbf<svg onload=alert(1)>")}},
	{svgType, file{"svg behind a comment", []byte("<!-- x --><svg onload=alert(1)>")}},
	{svgType, file{"svg behind white space", []byte("\n\n  <svg/onload=alert(1)>")}},
	{svgType, file{"svg behind a prolog", []byte("<?xml version='1.0'?>\n<!-- x -->\n<svg/>")}},
	{svgType, file{"svg with a doctype", []byte("<!DOCTYPE svg [<!ENTITY x \"y\">]><svg/>")}},
	{svgType, file{"svg in UTF-16LE", utf16LE("<svg onload=alert(1)>")}},
	{svgType, file{"svg in UTF-16BE with mark", join("\xfe\xff", utf16BE("<?xml version='1.0'?><svg/>"))}},
	{xmlType, file{"xml", []byte(`<?xml version="1.0"?><note/>`)}},
	{xmlType, file{"xml with a stylesheet", []byte(`<?xml-stylesheet href="x.xsl"?><note/>`)}},
	{xmlType, file{"xml behind a mark", []byte("\xef\xbb\xbf<?xml version=\"1.0\"?><note/>")}},
	{xmlType,
		file{"xslt without a prolog", []byte(`<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform"/>`)}},
	{xmlType, file{"xml in UTF-16", join("\xff\xfe", utf16LE(`<?xml version="1.0"?><note/>`))}},
	{xmlType, file{"xml with a doctype", []byte("<!DOCTYPE note SYSTEM 'x'><note/>")}},
}

// notMarkup are types with and without a signature, of which no file may be markup.
var notMarkup = []string{
	"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/heic", "image/tiff",
	"image/x-tga", "image/vnd.example",
	"video/mp4", "video/webm", "video/mp2t", "video/quicktime", "audio/mpeg", "audio/ogg", "audio/basic",
	"font/ttf", "font/woff2", "font/example", "model/stl",
	"application/pdf", "application/zip", "application/json", "application/msword", "application/vnd.ms-excel",
	"application/octet-stream", "application/vnd.example", "application/rtf", "application/wasm",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}

// mismatches are files that were granted another type than theirs.
var mismatches = []struct {
	granted, detected string
	file
}{
	{"image/png", "image/jpeg", file{"jpeg", jpegFile}},
	{"image/png", "image/gif", file{"gif", gifFile}},
	{"image/png", "application/pdf", file{"pdf", pdfFile}},
	{"image/png", "application/zip", file{"zip", zipFile}},
	{"image/png", "text/plain", file{"text", []byte("hello <script>")}},
	{"image/png", "application/json", file{"json", []byte(`{"a":1}`)}},
	{"image/png", "text/x-php", file{"php", []byte("<?php system($_GET[0]);")}},
	{"image/png", "text/x-shellscript", file{"sh", []byte("#!/bin/sh\n")}},
	{"image/png", "application/vnd.microsoft.portable-executable", file{"exe", exeFile}},
	{"image/png", "", file{"noise", noise}},
	{"image/png", "text/plain", file{"one byte", []byte("\x89")}},
	{"image/jpeg", "image/png", file{"png", pngFile}},
	{"image/jpeg", "application/x-executable", file{"elf", elfFile}},
	{"image/gif", "image/png", file{"png", pngFile}},
	{"image/webp", "audio/wav", file{"wav", wavFile}},
	{"image/tiff", "", file{"noise", noise}},
	{"image/bmp", "text/plain", file{"text", []byte("BM is for bitmap")}},
	{"image/heic", "image/jpeg", file{"jpeg", jpegFile}},
	{"image/avif", "video/webm", file{"webm", ebml("webm")}},
	{"image/x-tga", "application/vnd.microsoft.portable-executable", file{"exe", exeFile}},
	{"image/x-tga", "text/plain", file{"text", []byte("hello")}},
	{"image/x-adobe-dng", "application/pdf", file{"pdf", pdfFile}},
	{"image/svg+xml", "text/plain", file{"text", []byte("hello")}},
	{"image/svg+xml", "image/png", file{"png", pngFile}},
	{"image/svg+xml", "text/html", file{"html", []byte("<html><svg/></html>")}},
	{"image/svg+xml", "text/xml", file{"xml", []byte(`<?xml version="1.0"?><note/>`)}},
	{"application/gpx+xml", "image/svg+xml", file{"svg", []byte(`<?xml version="1.0"?><svg/>`)}},
	{"application/gpx+xml", "text/html", file{"html", []byte(`<html>`)}},
	{"application/gpx+xml", "application/zip", file{"zip", zipFile}},
	{"application/xhtml+xml", "image/svg+xml", file{"svg", []byte(`<svg/>`)}},
	{"application/x-plist", "text/html", file{"html", []byte(`<html>`)}},
	{"video/mp4", "video/webm", file{"webm", ebml("webm")}},
	{"video/mp4", "image/png", file{"png", pngFile}},
	{"video/mp4", "", file{"noise", noise}},
	{"video/webm", "video/mp4", file{"mp4", mp4File}},
	{"video/ogg", "audio/mpeg", file{"mp3", mp3File}},
	{"audio/mpeg", "text/plain", file{"text", []byte("hello")}},
	{"audio/mpeg", "application/zip", file{"zip", zipFile}},
	{"audio/wav", "audio/ogg", file{"ogg", ogg("OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00")}},
	{"audio/ogg", "audio/flac", file{"flac", []byte("fLaC\x00\x00\x00\x22\x10")}},
	{"application/pdf", "application/zip", file{"zip", zipFile}},
	{"application/pdf", "text/plain", file{"text", []byte("hello")}},
	{"application/pdf", "image/png", file{"png", pngFile}},
	{"application/pdf", "application/x-tar", file{"tar of a pdf", tarball("a.pdf", string(pdfFile))}},
	{"text/pdf", "text/plain", file{"text", []byte("hello")}},
	{"application/msword", "application/zip", file{"zip", zipFile}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/pdf",
		file{"pdf", pdfFile}},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "text/plain",
		file{"text", []byte("hello")}},
	{"application/zip", "application/vnd.rar", file{"rar", []byte("Rar!\x1a\x07\x01\x00\x33\x92")}},
	{"application/zip", "application/msword", file{"doc", oleFile}},
	{"application/gzip", "application/zip", file{"zip", zipFile}},
	{"application/x-tar", "application/gzip", file{"gz", gzipFile}},
	{"text/plain", "image/png", file{"png", pngFile}},
	{"text/plain", "application/vnd.microsoft.portable-executable", file{"exe", exeFile}},
	{"text/plain", "application/pdf", file{"pdf", pdfFile}},
	{"text/plain", "application/pdf", file{"pdf that is all text", []byte("%PDF-1.4\n1 0 obj\n")}},
	{"text/csv", "application/zip", file{"xlsx", zipFile}},
	{"text/csv", "application/msword", file{"doc", oleFile}},
	{"text/html", "image/gif", file{"gif", gifFile}},
	{"text/markdown", "application/gzip", file{"gz", gzipFile}},
	{"application/json", "image/png", file{"png", pngFile}},
	{"application/json", "application/zip", file{"zip", zipFile}},
	{"application/yaml", "application/x-executable", file{"elf", elfFile}},
	{"message/rfc822", "image/jpeg", file{"jpeg", jpegFile}},
	{"font/woff2", "font/ttf", file{"ttf", sfnt("\x00\x01\x00\x00", "OS/2")}},
	{"font/ttf", "text/plain", file{"text", []byte("hello")}},
	{"font/example", "application/vnd.microsoft.portable-executable", file{"exe", exeFile}},
	{"application/vnd.example", "application/vnd.microsoft.portable-executable", file{"exe", exeFile}},
	{"application/vnd.example", "image/png", file{"png", pngFile}},
	{"application/vnd.sqlite3", "text/plain", file{"text", []byte("hello")}},
	{"application/dicom", "image/jpeg", file{"jpeg", jpegFile}},
	{"application/wasm", "", file{"noise", noise}},
	{"application/x-shockwave-flash", "image/png", file{"png", pngFile}},
	{"model/stl", "application/vnd.microsoft.portable-executable", file{"exe", exeFile}},
}
