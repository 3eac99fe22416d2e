package sniff

import (
	"bytes"
	"encoding/binary"
	"strings"
)

const (
	apkType  = "application/vnd.android.package-archive"
	jarType  = "application/java-archive"
	msiType  = "application/x-ms-installer"
	msixType = "application/msix"
	ipaType  = "application/x-ios-app"
	xpiType  = "application/x-xpinstall"
)

// programs holds the types of programs and installers that have the same
// container as documents.
var programs = map[string]bool{
	apkType: true, jarType: true, msiType: true, msixType: true, ipaType: true, xpiType: true,
}

// programEntries lists names of files that only programs contain. A name that
// ends in a slash is a folder.
var programEntries = []struct{ name, typ string }{
	{"AndroidManifest.xml", apkType}, {"classes.dex", apkType}, {"resources.arsc", apkType},
	{"BundleConfig.pb", apkType},
	{"META-INF/com/android/", apkType}, {"base/manifest/AndroidManifest.xml", apkType},
	{"AppxManifest.xml", msixType}, {"AppxBlockMap.xml", msixType}, {"AppxMetadata/", msixType},
	{"WEB-INF/", jarType}, {"Payload/", ipaType},
	{"META-INF/mozilla.rsa", xpiType}, {"install.rdf", xpiType}, {"chrome.manifest", xpiType},
}

// programInZip returns the type of an archive that is a program, or "" for
// other archives. It reads the names of the first files.
func programInZip(head []byte) string {
	// Documents have "mimetype" as their first file, and some tools add a
	// manifest to documents.
	document := false
	for i, name := range zipNames(head) {
		if i == 0 {
			document = name == "mimetype"
		}
		switch extension := name[strings.LastIndexByte(name, '.')+1:]; {
		case extension == "class", !document && name == "META-INF/MANIFEST.MF":
			return jarType
		case extension == "dex", extension == "apk":
			return apkType
		case extension == "nuspec", extension == "vsixmanifest":
			return zipType // Packages of NuGet and for Visual Studio have no type.
		}
		for _, entry := range programEntries {
			if name == entry.name ||
				strings.HasSuffix(entry.name, "/") && strings.HasPrefix(name, entry.name) {
				return entry.typ
			}
		}
	}
	return ""
}

// zipNames returns the names of the files whose headers are in head. If the
// headers have sizes, it skips the contents, so that archives within the
// archive are left out.
//
// See https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, section
// 4.3.7.
func zipNames(head []byte) (names []string) {
	const signature, size = "PK\x03\x04", 30
	for {
		i := bytes.Index(head, []byte(signature))
		if i < 0 || len(head) < i+size {
			return names
		}
		head = head[i:]
		length := int(binary.LittleEndian.Uint16(head[26:]))
		extra := int(binary.LittleEndian.Uint16(head[28:]))
		if len(head) < size+length {
			return names
		}
		names = append(names, string(head[size:size+length]))
		next := size + length + extra
		if sizeFollows := head[6]&8 != 0; !sizeFollows {
			next += int(min(binary.LittleEndian.Uint32(head[18:]), Head))
		}
		head = head[min(next, len(head)):]
	}
}

// installerClasses lists the first bytes of the class IDs of Windows
// Installer's packages, patches and transforms.
var installerClasses = []string{"\x84\x10\x0c\x00", "\x86\x10\x0c\x00", "\x82\x10\x0c\x00"}

// installerInOLE reports whether a compound file belongs to Windows Installer,
// by the class of its root. It returns false if the root is not in head.
//
// See https://learn.microsoft.com/openspecs/windows_protocols/ms-cfb, section
// 2.6.
func installerInOLE(head []byte) bool {
	const classOffset, rest = 80, "\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"
	if len(head) < 512 {
		return false
	}
	shift, sector := binary.LittleEndian.Uint16(head[30:]), binary.LittleEndian.Uint32(head[48:])
	if shift > 12 || sector > Head {
		return false
	}
	class := (int(sector)+1)<<shift + classOffset
	for _, installer := range installerClasses {
		if hasAt(head, class, installer+rest) {
			return true
		}
	}
	return false
}

// A kind classifies a file by the brands or entries of its container.
type kind int

const (
	unnamed kind = iota
	still        // a picture, or a sequence of them
	moving       // video or audio
	program
)

// These are brands of ISO base media files. See
// https://mp4ra.org/registered-types/brands.
const (
	stillBrands = " mif1 mif2 msf1 miaf heic heix heim heis hevc hevx hevm hevs avif avis avic " +
		"avci avcs jpeg jpgs j2ki j2is crx  unif vvic vvis evbi evbs "

	// Brands that start with "iso" and "mp4" name the container only.
	movingBrands = " qt   mqt  M4V  M4VH M4VP M4A  M4B  M4P  f4v  F4V  F4P  F4A  F4B  avc1 av01 " +
		"hvc1 hev1 dash msdh MSNV NDAS XAVC mmp4 mjp2 mj2s dby1 piff cmfc cmf2 CAEP KDDI "
)

// kindOfMedia returns the kind of an ISO base media file by its brands. It
// returns moving if head does not start with brands.
func kindOfMedia(head []byte) kind {
	if !hasAt(head, 4, "ftyp") || len(head) < 16 {
		return moving // Older QuickTime files and some fragments have no brands.
	}
	end := min(len(head), int(min(binary.BigEndian.Uint32(head), Head)))
	compatible := false
	for i := 16; i+4 <= end; i += 4 {
		compatible = compatible || isBrand(stillBrands, head[i:i+4])
	}
	major := head[8:12]
	container := bytes.HasPrefix(major, []byte("iso")) || bytes.HasPrefix(major, []byte("mp4"))
	switch {
	case isBrand(stillBrands, major):
		return still
	case isBrand(movingBrands, major), bytes.HasPrefix(major, []byte("3g")),
		container && !compatible:
		return moving
	case compatible && !container:
		return still
	}
	return unnamed
}

func isBrand(brands string, brand []byte) bool {
	return strings.Contains(brands, " "+string(brand)+" ")
}

// boxes lists the first boxes of QuickTime files without brands and of
// fragments of MP4 files. Any size can come before them.
var boxes = []struct{ name, typ string }{
	{"moov", "video/quicktime"}, {"mdat", "video/quicktime"}, {"wide", "video/quicktime"},
	{"free", "video/quicktime"},
	{"skip", "video/quicktime"}, {"pnot", "video/quicktime"},
	{"styp", "video/mp4"}, {"moof", "video/mp4"}, {"sidx", "video/mp4"},
}

// box returns the type of a media file without brands, or "".
func box(head []byte) string {
	if len(head) < 8 || isText(head) {
		return ""
	}
	// A size of 1 means that a 64-bit size follows, and 0 means the rest of the
	// file.
	if size := binary.BigEndian.Uint32(head); size > 1 && size < 8 {
		return ""
	}
	for _, b := range boxes {
		if hasAt(head, 4, b.name) {
			return b.typ
		}
	}
	return ""
}
