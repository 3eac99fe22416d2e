package corpus

import (
	"bytes"
	"strings"
)

// A Named is a small file of a format with a typical name. Each Named
// represents a class of files.
type Named struct {
	Filename, Declared string
	Source             string // of the format
	Data               []byte
}

// random returns n pseudorandom bytes, which depend only on n and seed.
func random(n int, seed uint32) []byte {
	b := make([]byte, n)
	for i := range b {
		seed ^= seed << 13
		seed ^= seed >> 17
		seed ^= seed << 5
		b[i] = byte(seed >> 11)
	}
	return b
}

// Strangers holds programs and files without a format. If the granted type has
// a signature, these files must be rejected.
var Strangers = []File{
	{"noise", random(5000, 1)},
	{"more noise", random(5000, 77)},
	{"yet more noise", random(5000, 4242)},
	{"zeros", make([]byte, 5000)},
	{"DOS program", exeFile},
	{"DOS program of commands", Join("\xe9\x8d\x01", random(600, 5))},
	{"ISO image", Join(make([]byte, 32768), "\x01CD001\x01\x00", make([]byte, 2000))},
	{"text", []byte("Dear Sir or Madam,\n\nplease find enclosed the report.\n")},
	{"text in Latin-1", []byte("Gr\xfc\xdfe aus K\xf6ln\n")},
	{"text that starts like GIF", []byte("GIF89a is a format of 1989.\n")},
	{"text that starts like bzip2", []byte("BZh, said the bee.\n")},
	{"text that starts like Flash", []byte("FWS meeting notes\n")},
	{"text that starts like a font", []byte("OTTO and Anna are palindromes.\n")},
	{"text that starts like a program", []byte("MZ is what DOS programs begin with.\n")},
}

func bmp(header ...any) []byte {
	return Join("BM", le32(200), le32(0), le32(54), Join(header...), make([]byte, 120))
}

func sized(name string, size uint32) []byte {
	return Join(be32(size), name, random(600, 9))
}

// installer returns a compound file with the given class of Windows Installer
// files.
func installer(class byte) []byte {
	b := ole("SummaryInformation")
	copy(b[1024+80:], []byte{class, 0x10, 0x0c, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46})
	return b
}

var (
	xmlProlog = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	apkFile   = archive("AndroidManifest.xml", "x", "classes.dex", "y")
	jarFile   = archive("META-INF/", "", "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
	webmFile  = ebml("webm")
	oggVideo  = ogg("\x80theora\x03\x02\x01" + strings.Repeat("\x00", 34))
	macBinary = Join("\x00\x0areport.pdf", make([]byte, 53), "PDF CARO", make([]byte, 55))
)

// Genuine holds files that must be accepted, most of them without a declared
// type.
var Genuine = []Named{
	// Two formats share an extension.
	{"rec.awb", "", "RFC 4867, section 5", []byte("#!AMR-WB\n\x04\x91\x17\x16\xbe\x66")},
	{"rec.awb", "", "CRI Middleware AFS2", Join("AFS2\x01\x04\x02\x00", random(100, 3))},
	{"scene.hdr", "", "ENVI header (L3Harris)",
		[]byte("ENVI\ndescription = {\n  scene}\nsamples = 400\nlines = 400\nbands = 3\n")},
	{"scene.hdr", "", "ESRI BIL header", []byte("BYTEORDER      I\nLAYOUT       BIL\nNROWS         20\n")},
	{"scene.hdr", "", "Radiance", []byte("#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\x02\x02\x00\x01")},
	{"brain.hdr", "", "Analyze 7.5 and NIfTI-1", Join(le32(348), make([]byte, 400))},
	{"app.jar", "", "Spring Boot, executable jar",
		[]byte("#!/bin/bash\n#\n#    .   ____          _\n" +
			strings.Repeat("# launch script\n", 400))},
	{"app.jar", "", "a short launcher before the archive", Join("#!/bin/sh\nexec java -jar \"$0\" \"$@\"\n", jarFile)},
	{"app.war", "", "Spring Boot, executable war", []byte("#!/usr/bin/env bash\nset -e\n")},
	{"site.webloc", "", "Apple property list",
		[]byte(xmlProlog +
			`<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "x"><plist version="1.0"><dict/></plist>`)},
	{"site.webloc", "", "Apple binary property list", []byte("bplist00\xd1\x01\x02SURL\x00")},
	{"pkg.apk", "", "Alpine package", gzipFile},
	{"pkg.apk", "", "Android package", apkFile},
	{"board.dts", "", "Devicetree source", []byte("/dts-v1/;\n/ { compatible = \"acme\"; };\n")},
	{"film.dts", "", "ETSI TS 102 114", Join("\x7f\xfe\x80\x01\xfc\x3c", random(300, 6))},
	{"plan.mpp", "", "Microsoft Project", ole("Props")},
	{"song.mpp", "audio/x-musepack", "Musepack SV8", Join("MPCKSH\x0c", random(300, 7))},
	{"song.mpp", "", "Musepack SV8", Join("MPCKSH\x0c", random(300, 7))},
	{"film.sub", "", "VobSub",
		Join("\x00\x00\x01\xba\x44\x00\x04\x00\x04\x01\x01\x89\xc3\xf8\x00\x00\x01\xbd",
			make([]byte, 100))},
	{"film.sub", "", "MicroDVD", []byte("{0}{25}Hello!\n")},
	{"ride.fit", "", "Garmin FIT protocol", Join("\x0e\x10\x5c\x08", le32(900), ".FIT", random(300, 8))},
	{"star.fit", "image/fits", "FITS 4.0",
		[]byte("SIMPLE  =                    T / conforms to FITS" + strings.Repeat(" ", 31))},
	{"msgs.msg", "text/plain", "ROS message definition", []byte("float64 x\nfloat64 y\n")},
	{"talk.rmi", "", "RIFF MIDI", Join("RIFF", le32(100), "RMIDdata", le32(80), "MThd", be32(6))},
	{"go.mod", "", "Go modules", []byte("module example.com/a\n\ngo 1.26\n")},
	{"song.mod", "", "ProTracker", Join("a song", make([]byte, 1074), "M.K.", random(100, 24))},
	{"film.mod", "", "JVC camcorder",
		Join("\x00\x00\x01\xba\x44\x00\x04\x00\x04\x01\x01\x89\xc3\xf8\x00\x00\x01\xbb",
			make([]byte, 100))},
	{"fig.pic", "", "troff picture", []byte(".PS\nbox \"a\"\n.PE\n")},
	{"fig.cgm", "", "ISO 8632-4, clear text", []byte("BEGMF 'a';\nMFVERSION 1;\n")},
	{"de.msg", "", "Tcl message catalog", []byte("namespace eval ::tcl::clock {\n}\n")},
	{"mail.msg", "", "MS-OXMSG", ole("__properties_version1.0")},
	{"tutor.it", "", "text in Italian", []byte("Benvenuto\n")},
	{"dump.raw", "", "text", []byte("From: a@example.com\n")},
	{"main.obj", "", "ELF, relocatable",
		Join("\x7fELF\x02\x01\x01", make([]byte, 9), le16(1), le16(62), le32(1), make([]byte, 40))},
	{"main.obj", "", "Wavefront", []byte("v 0 0 0\nf 1 2 3\n")},
	{"disc.pkg", "", "Solaris package", []byte("# PaCkAgE DaTaStReAm\nSUNWx 1 20\n")},
	{"disc.pkg", "", "xar (macOS)", Join("xar!\x00\x1c\x00\x01", random(100, 9))},
	{"old.wks", "", "Lotus 1-2-3", Join("\x00\x00\x02\x00\x04\x04\x06\x00\x08\x00", make([]byte, 40))},
	{"plug.vst", "image/x-tga", "Truevision TGA",
		Join(unhex("00000200000000000000000008000800 1800"), make([]byte, 192))},
	{"art.ai", "application/postscript", "Illustrator 9 and later (PDF), as Chromium declares it", pdfFile},
	{"key.key", "", "Keynote", archive("Index/Document.iwa", "x")},
	{"key.key", "", "PEM", []byte("-----BEGIN PRIVATE KEY-----\nMIIB\n")},
	{"id.pub", "", "OpenSSH public key", []byte("ssh-ed25519 AAAA user@host\n")},
	{"note.onepkg", "", "OneNote package (cabinet)", Join("MSCF\x00\x00\x00\x00", random(100, 10))},
	{"mail.pst", "application/vnd.ms-outlook", "MS-PST", Join("!BDN", random(300, 11))},

	// XML. Browsers declare no type for most of these files.
	{"a.xmp", "", "XMP (ISO 16684-1)", []byte(`<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>`)},
	{"a.xfdf", "", "XFDF (ISO 19444-1)", []byte(xmlProlog + `<xfdf xmlns="http://ns.adobe.com/xfdf/"/>`)},
	{"a.dita", "", "OASIS DITA 1.3",
		[]byte(xmlProlog +
			`<!DOCTYPE topic PUBLIC "-//OASIS//DTD DITA Topic//EN" "topic.dtd"><topic id="a"/>`)},
	{"a.resx", "", ".NET resources", []byte(xmlProlog + "<root><resheader/></root>")},
	{"a.vcxproj", "", "MSBuild",
		[]byte("\xef\xbb\xbf" + xmlProlog +
			`<Project xmlns="http://schemas.microsoft.com/developer/msbuild/2003"/>`)},
	{"a.graphml", "", "GraphML", []byte(xmlProlog + `<graphml xmlns="http://graphml.graphdrawing.org/xmlns"/>`)},
	{"a.fodt", "", "ODF 1.3, flat",
		[]byte(xmlProlog +
			`<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"/>`)},
	{"a.bpmn", "", "OMG BPMN 2.0",
		[]byte(xmlProlog + `<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"/>`)},
	{"a.unheard-of", "application/xml", "XML without a row", []byte(xmlProlog + "<note/>")},
	{"a.asx", "", "Windows Media metafile", []byte(`<asx version="3.0"><entry/></asx>`)},

	// Signatures around lengths and counts.
	{"a.mov", "", "QTFF: mdat of 100 MB first", sized("mdat", 100<<20)},
	{"a.mov", "", "QTFF: mdat of 64 bits first", sized("mdat", 1)},
	{"a.mov", "", "QTFF: mdat up to the end", sized("mdat", 0)},
	{"a.mov", "", "QTFF: moov of 20 MB first", sized("moov", 20<<20)},
	{"a.mov", "", "QTFF: free of 17 MB first", sized("free", 17<<20)},
	{"a.mov", "", "QTFF: skip first", sized("skip", 1<<20)},
	{"a.mov", "", "QTFF: pnot first", sized("pnot", 20)},
	{"a.mov", "", "QTFF: wide of 16 bytes first", sized("wide", 16)},
	{"a.mp4", "", "ISO 14496-12: segment", sized("styp", 24)},
	{"a.mp4", "", "ISO 14496-12: fragment", sized("moof", 1000)},
	{"a.m4s", "", "ISO 14496-12: index", sized("sidx", 44)},
	{"a.bmp", "", "BITMAPCOREHEADER", bmp(le32(12), le16(1), le16(1), le16(1), le16(24))},
	{"a.bmp", "", "OS22XBITMAPHEADER, shortened to 20 bytes", bmp(le32(20), le32(1), le32(1), le16(1), le16(24))},
	{"a.bmp", "", "BITMAPV5HEADER", bmp(le32(124), le32(1), le32(1), le16(1), le16(24))},
	{"a.avi", "", "AVI with a JUNK chunk first", Join("RIFF", le32(1000), "AVI JUNK", le32(192), make([]byte, 300))},
	{"a.wav", "", "RIFX, big-endian", Join("RIFX", be32(100), "WAVEfmt ", make([]byte, 100))},
	{"a.flac", "", "RFC 9639, no more metadata", Join("fLaC\x80\x00\x00\x22", random(100, 12))},
	{"a.zip", "", "APPNOTE 8.5.4, made to be split", Join("PK00", zipFile)},
	{"a.fits", "", "FITS, free format", []byte("SIMPLE  = T / free format" + strings.Repeat(" ", 55))},
	{"a.otf", "", "OpenType, CFF2 first", sfnt("OTTO", "CFF2")},
	{"a.eps", "", "EPS with a preview, for DOS", Join("\xc5\xd0\xd3\xc6", le32(30), random(100, 13))},
	{"a.j2k", "", "ISO 15444-1 codestream", Join("\xff\x4f\xff\x51\x00\x2f", random(100, 14))},
	{"a.mj2", "", "ISO 15444-3",
		Join("\x00\x00\x00\x0cjP  \r\n\x87\n", be32(20), "ftypmjp2\x00\x00\x00\x00mjp2",
			random(100, 15))},
	{"a.ape", "", "Monkey's Audio 3.97", Join("MAC \x82\x0f", random(100, 16))},
	{"a.bz2", "", "bzip2 of nothing", unhex("425a683917724538509000000000")},

	// Containers with and without the name of their content.
	{"a.heic", "", "HEIC of an iPhone", ftyp("heic", "mif1", "MiHB", "MiHE", "MiPr", "miaf", "heic", "tmap")},
	{"a.heic", "", "HEIC sequence", ftyp("hevc", "msf1", "hevc", "iso8")},
	{"a.avif", "", "AVIF sequence", ftyp("avis", "avis", "msf1", "iso8", "mif1", "miaf", "MA1B")},
	{"a.avif", "", "AVIF with a general brand first", ftyp("mif1", "mif1", "avif", "miaf")},
	{"a.avif", "", "AVIF with the container's brand first", ftyp("iso8", "iso8", "avif", "mif1")},
	{"a.mp4", "", "MP4 of a phone that also has the brand of a picture", ftyp("mp42", "isom", "mp42", "mif1")},
	{"a.mp4", "", "MP4 of an unknown maker", ftyp("acme", "acme")},
	{"a.m4a", "", "MP4 audio", ftyp("M4A ", "M4A ", "isom")},
	{"a.mp4", "", "MP4 with audio only", ftyp("M4A ", "M4A ", "isom")},
	{"a.ogg", "", "Ogg Theora", oggVideo},
	{"a.ogg", "video/ogg", "Ogg Vorbis, as Firefox declares it",
		ogg("\x01vorbis\x00\x00\x00\x00\x02" + strings.Repeat("\x00", 18))},
	{"a.docx", "application/zip", "OOXML with an archive within",
		archive("[Content_Types].xml", "<Types/>", "word/document.xml", "<w/>",
			"word/embeddings/app.jar", string(jarFile))},
	{"a.epub", "", "EPUB with a manifest",
		archive("mimetype", "application/epub+zip", "META-INF/MANIFEST.MF",
			"Manifest-Version: 1.0\n")},
	{"a.odt", "", "ODF",
		archive("mimetype", "application/vnd.oasis.opendocument.text",
			"META-INF/manifest.xml", "<x/>")},
	{"a.xlsm", "", "an archive in no known order", archive("customUI/customUI.xml", "<x/>")},
	{"a.msi", "", "Windows Installer", installer(0x84)},
	{"a.xpi", "", "Firefox extension", archive("manifest.json", "{}", "META-INF/mozilla.rsa", "x")},
	{"a.msix", "", "MSIX", archive("AppxManifest.xml", "<x/>")},
	{"a.zip", "", "an archive that is a program", apkFile},

	// PDFs whose signature is not at the start.
	{"a.pdf", "", "PDF behind MacBinary", Join(macBinary, pdfFile)},
	{"a.pdf", "", "PDF behind a printer's commands",
		Join("\x1b%-12345X@PJL JOB\r\n@PJL ENTER LANGUAGE=PDF\r\n", pdfFile)},
	{"a.pdf", "", "PDF behind a mark and lines", Join("\xef\xbb\xbf\r\n\r\n", pdfFile)},
	{"a.pdf", "", "PDF behind binary data", Join("\x93\x07\x00\x01", random(100, 17)[:40], pdfFile)},

	// Names and declared types.
	{"\u200f\u200f\u05dc\u05db\u05d9\u05d3\u05d4.png", "", "Hebrew Windows", PNG},
	{strings.Repeat("\u6f22", 84) + ".png", "", "NTFS", PNG},
	{"a.png ", "image/png", "a trailing blank", PNG},
	{"a.aac", "audio/x-acc", "react-dropzone", bytes.Repeat(Join("\xff\xf1\x50\x80\x02\x1f\xfc", make([]byte, 9)), 50)},
	{"a.ts", "video/mp2ts", "Android", bytes.Repeat(Join("G\x40\x00\x10\x00", bytes.Repeat([]byte{0xff}, 183)), 8)},
	{"a.tgz", "application/x-tar", "a type for what it unpacks to", gzipFile},
	{"a.dng", "image/tiff", "a type for its container",
		Join("II*\x00", le32(8), le16(1), le16(0xc612), le16(1), le32(4), le32(0x401), le32(0))},
	{"a.pdf", "application/force-download", "a type of servers", pdfFile},
	{"a.txt", "text/plain;", "RFC 9110, section 5.6.6", []byte("hello\n")},
}

// Disguised holds files whose content must be rejected for their names and
// declared types.
var Disguised = []Named{
	{"report.pdf", "", "noise", random(3000, 18)},
	{"report.pdf", "", "a DOS program", exeFile},
	{"report.pdf", "", "PostScript", []byte("%!PS-Adobe-3.0\n")},
	{"report.pdf", "", "a script", []byte("alert(1)/*\n%PDF-1.4\n*/")},
	{"report.pdf", "", "a script in a comment", []byte("/*\x00\x01*/alert(1)//\n%PDF-1.4\n")},
	{"report.pdf", "", "a script behind a mark", []byte("\xef\xbb\xbf \nalert(1)/*%PDF-1.4\n")},
	{"report.pdf", "", "a script in UTF-16", Join("\xff\xfe", utf16LE("alert(1)/*"), "%PDF-1.4\n", make([]byte, 50))},
	{"report.pdf", "", "a script in UTF-16, big-endian, without a mark",
		Join(utf16BE("alert(1)/*"), "%PDF-1.4\n", make([]byte, 50))},
	{"report.pdf", "", "a script with an identifier that is not ASCII",
		[]byte("\xc3\xa9=1/*\x00%PDF-1.4\n*/;alert(1)")},
	{"report.pdf", "", "a script behind white space of JavaScript", []byte("\xc2\xa0alert(1)/*%PDF-1.4\n")},
	{"letter.docx", "", "Windows Installer", installer(0x84)},
	{"letter.doc", "", "Windows Installer", installer(0x84)},
	{"table.xls", "", "a patch of Windows Installer", installer(0x86)},
	{"plan.vsd", "", "a transform of Windows Installer", installer(0x82)},
	{"mail.msg", "", "Windows Installer", installer(0x84)},
	{"letter.docx", "", "an Android package", apkFile},
	{"letter.odt", "", "an Android package", apkFile},
	{"book.epub", "", "an Android package behind its first file",
		archive("mimetype", "application/epub+zip", "classes.dex", "x")},
	{"letter.docx", "", "a Java archive", jarFile},
	{"slides.pptx", "", "a Java archive without a manifest", archive("org/acme/Main.class", "x")},
	{"table.xlsx", "", "MSIX", archive("AppxManifest.xml", "<x/>", "[Content_Types].xml", "<x/>")},
	{"letter.docx", "", "a package of NuGet", archive("_rels/.rels", "<x/>", "acme.nuspec", "<x/>")},
	{"letter.odt", "", "a web application", archive("WEB-INF/web.xml", "<x/>")},
	{"letter.xlsx", "", "a bundle of Android packages", archive("splits/base-master.apk", "x")},
	{"letter.pages", "", "an app of iOS", archive("Payload/Acme.app/Info.plist", "x")},
	{"letter.xps", "", "a Firefox extension", archive("chrome.manifest", "x")},
	{"picture.kra", "", "a Java archive", jarFile},
	{"letter.docx", "", "a shell script before an archive", Join("#!/bin/sh\n", jarFile)},
	{"photo.heic", "", "a video", mp4File},
	{"photo.avif", "", "a QuickTime film", ftyp("qt  ", "qt  ")},
	{"photo.heic", "", "a film without brands", sized("mdat", 5000)},
	{"photo.cr3", "", "a video", mp4File},
	{"photo.heif", "", "audio", ftyp("M4A ", "M4A ")},
	{"film.mp4", "", "a picture", ftyp("heic", "mif1", "heic")},
	{"film.mov", "", "a picture", ftyp("avif", "avif", "mif1")},
	{"song.m4a", "", "a picture", ftyp("mif1", "mif1", "heic")},
	{"film.mp4", "", "a raw picture", ftyp("crx ", "crx ", "isom")},
	{"photo.jp2", "", "Motion JPEG 2000",
		Join("\x00\x00\x00\x0cjP  \r\n\x87\n", be32(20), "ftypmjp2\x00\x00\x00\x00mjp2",
			random(100, 15))},
	{"film.mj2", "", "a picture",
		Join("\x00\x00\x00\x0cjP  \r\n\x87\n", be32(20), "ftypjp2 \x00\x00\x00\x00jp2 ",
			random(100, 15))},
	{"photo.tga", "", "a video", webmFile},
	{"photo.x3f", "", "a video", oggVideo},
	{"film.dv", "", "a picture", Join("II*\x00", le32(8), make([]byte, 100))},
	{"archive.bz2", "", "text", []byte("BZh, said the bee.\n")},
	{"photo.gif", "", "text", []byte("GIF89a is a format.\n")},
	{"sound.wav", "", "noise with a frame in it", Join(random(300, 19), mp3File)},
	{"app.jar", "", "noise", random(3000, 20)},
	{"app.jar", "", "text", []byte("hello\n")},
	{"pkg.apk", "", "noise", random(3000, 21)},
	{"photo.rdp", "image/png", "a program by its extension", PNG},
	{"song.website", "audio/mpeg", "a program by its extension", mp3File},
	{"letter.inetloc", "application/pdf", "a program by its extension", pdfFile},
	{"film.php7", "video/mp4", "a program by its extension", mp4File},
	{"photo.html\u200f", "image/png", "a program behind a mark", PNG},
	{"gpj.\u202eexe", "image/png", "an override", PNG},
	{"scene.hdr", "", "markup", []byte("<html><script>alert(1)</script>")},
	{"board.dts", "", "markup", []byte("<script>alert(1)</script>")},
	{"a.xfdf", "", "markup", []byte(`<html xmlns="http://www.w3.org/1999/xhtml"><script/></html>`)},
	{"site.webloc", "", "markup", []byte("<html><script>alert(1)</script>")},
}

// Bases holds files of further formats, and further variants of formats in the
// other lists.
var Bases = []Named{
	{"a.icns", "", "Apple Icon Image", Join("icns", be32(100), "ic07", make([]byte, 92))},
	{"a.jpx", "", "ISO 15444-2", Join("\x00\x00\x00\x0cjP  \r\n\x87\n", be32(20), "ftypjpx \x00\x00\x00\x00jpx ")},
	{"a.jpm", "", "ISO 15444-6", Join("\x00\x00\x00\x0cjP  \r\n\x87\n", be32(20), "ftypjpm \x00\x00\x00\x00jpm ")},
	{"a.jxr", "", "ITU-T T.832", Join("II\xbc\x01", le32(8), make([]byte, 40))},
	{"a.bpg", "", "BPG", Join("BPG\xfb", make([]byte, 40))},
	{"a.xcf", "", "GIMP", Join("gimp xcf v011\x00", be32(8), be32(8), make([]byte, 40))},
	{"a.djvu", "", "DjVu 3", Join("AT&TFORM", be32(100), "DJVUINFO", make([]byte, 40))},
	{"a.dwg", "", "Open Design Specification for .dwg", Join("AC1032\x00\x00\x00\x00", make([]byte, 40))},
	{"a.xpm", "", "XPM 3", []byte("/* XPM */\nstatic char *a[] = {\"1 1 1 1\"};\n")},
	{"a.xpm", "", "XPM 3 with a control character",
		[]byte("/* XPM */\n/* \x01 */\nstatic char *a[] = {\"1 1 1 1\"};\n")},
	{"a.dxf", "", "DXF with a control character", []byte("  0\nSECTION\n  2\nHEADER\n  1\n\x01\n")},
	{"a.m3u", "", "M3U with a control character", []byte("#EXTM3U\n#EXTINF:1,\x01\na.mp3\n")},
	{"a.flv", "", "Adobe Flash Video 10.1", Join("FLV\x01\x05", be32(9), make([]byte, 40))},
	{"a.rm", "", "RealMedia", Join(".RMF", be32(18), make([]byte, 40))},
	{"a.m3u8", "", "RFC 8216", []byte("#EXTM3U\n#EXT-X-VERSION:3\n")},
	{"a.au", "", "Sun audio", Join(".snd", be32(24), be32(100), be32(1), make([]byte, 40))},
	{"a.one", "", "MS-ONESTORE", Join(unhex("e4525c7b8cd8a74daeb15378d02996d3"), make([]byte, 40))},
	{"a.chm", "", "HTML Help", Join("ITSF\x03\x00\x00\x00\x60\x00\x00\x00", make([]byte, 40))},
	{"a.chm", "", "HTML Help of another header", Join("ITSF\x02\x00\x00\x00\x58\x00\x00\x00", make([]byte, 40))},
	{"a.wpd", "", "WordPerfect 6", Join("\xffWPC", le32(16), "\x01\x0a\x02\x01", make([]byte, 40))},
	{"a.p7s", "", "RFC 5652", Join("\x30\x82\x05\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", make([]byte, 40))},
	{"a.lz", "", "lzip", Join("LZIP\x01\x0c", make([]byte, 40))},
	{"a.cab", "", "InstallShield", Join("ISc(\x0c\x60\x00\x01", make([]byte, 40))},
	{"a.rpm", "", "RPM 4", Join("\xed\xab\xee\xdb\x03\x00", make([]byte, 100))},
	{"a.ttc", "", "OpenType collection", Join("ttcf\x00\x01\x00\x00", be32(1), make([]byte, 40))},
	{"a.mdb", "", "Jet", Join("\x00\x01\x00\x00Standard Jet DB\x00", make([]byte, 40))},
	{"a.dbf", "", "dBASE III", Join("\x03\x7e\x0b\x1b", le32(1), le16(65), le16(10), make([]byte, 100))},
	{"a.shp", "", "ESRI shapefile",
		Join(be32(9994), make([]byte, 20), be32(50), le32(1000), le32(1), make([]byte, 64))},
	{"a.pcap", "", "libpcap", Join("\xd4\xc3\xb2\xa1\x02\x00\x04\x00", make([]byte, 40))},
	{"a.lnk", "", "MS-SHLLINK", Join("L\x00\x00\x00\x01\x14\x02\x00", make([]byte, 80))},
	{"a.so", "", "Mach-O", Join("\xcf\xfa\xed\xfe\x07\x00\x00\x01", make([]byte, 40))},
	{"a.class", "", "JVM specification, chapter 4", Join("\xca\xfe\xba\xbe\x00\x00\x00\x41", make([]byte, 40))},
	{"a.pyc", "", "CPython 3.8", Join("\x55\x0d\x0d\x0a\x00\x00\x00\x00", make([]byte, 40))},
	{"a.mj2", "", "ISO 15444-3, without the first box", ftyp("mjp2", "mjp2")},
	{"a.amr", "", "3GPP audio of a phone", ftyp("3gp4", "3gp4")},
	{"a.swf", "application/x-shockwave-flash", "SWF 19", Join("CWS\x0a", le32(100), "\x78\x9c", random(60, 23))},
}
