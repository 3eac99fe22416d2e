package mediatype

// media has the rows of pictures, videos, audio and fonts.
const media = `
# Images
jpg jpeg jpe jfif pjpeg pjp | image/jpeg image/jpg image/pjpeg image/x-jpeg image/x-citrix-jpeg
png apng          | image/png image/apng image/x-png image/vnd.mozilla.apng image/x-citrix-png
gif               | image/gif image/x-citrix-gif
webp              | image/webp image/x-webp
avif avifs        | image/avif image/avif-sequence
heic heics        | image/heic image/heic-sequence | image/heif image/heif-sequence
heif heifs hif    | image/heif image/heif-sequence | image/heic image/heic-sequence image/avif
tif tiff          | image/tiff image/x-tiff image/tif
bmp dib           | image/bmp image/x-ms-bmp image/x-bmp image/x-windows-bmp
ico cur           | image/x-icon image/vnd.microsoft.icon image/ico image/icon image/x-ico | image/x-win-bitmap
icns              | image/icns image/x-icns
svg svgz          | image/svg+xml
jxl               | image/jxl
jp2 j2k jpg2      | image/jp2 image/jpeg2000 image/jpeg2000-image image/x-jpeg2000-image | image/x-jp2-codestream
jpx jpf           | image/jpx | application/x-jbuilder-project
jxr wdp hdp       | image/jxr image/vnd.ms-photo
bpg               | image/bpg
tga icb tpic vda  | image/x-tga image/tga image/targa image/x-targa
dds               | image/vnd.ms-dds image/x-dds
exr               | image/x-exr image/exr image/aces
hdr rgbe xyze     | image/vnd.radiance image/x-hdr
ktx               | image/ktx
ktx2              | image/ktx2
pcx               | image/vnd.zbrush.pcx image/x-pcx image/pcx
pbm               | image/x-portable-bitmap | text/plain
pgm               | image/x-portable-graymap | text/plain
ppm               | image/x-portable-pixmap | text/plain
pnm               | image/x-portable-anymap | text/plain
xbm               | image/x-xbitmap image/x-xbm image/xbm | text/plain
xpm               | image/x-xpixmap image/x-xpm image/xpm | text/plain
emf               | image/emf image/x-emf application/emf application/x-emf | application/x-msmetafile
wmf               | image/wmf image/x-wmf application/wmf application/x-wmf application/x-msmetafile
emz wmz           | application/x-ms-wmz | application/x-msmetafile
djvu djv          | image/vnd.djvu image/x-djvu image/x.djvu image/djvu | image/vnd.djvu+multipage
psd psb           | image/vnd.adobe.photoshop image/x-photoshop image/photoshop image/psd image/x-psd application/x-photoshop application/photoshop application/psd
xcf               | image/x-xcf application/x-xcf
kra krz           | application/x-krita
dng               | image/x-adobe-dng image/dng
cr2               | image/x-canon-cr2 image/cr2
cr3               | image/x-canon-cr3 image/cr3
crw               | image/x-canon-crw image/crw
nef               | image/x-nikon-nef image/nef
nrw               | image/x-nikon-nrw image/nrw
arw               | image/x-sony-arw image/arw
sr2               | image/x-sony-sr2 image/sr2
srf               | image/x-sony-srf image/srf
srw               | image/x-samsung-srw image/srw
raf               | image/x-fuji-raf image/raf
orf               | image/x-olympus-orf image/orf
rw2               | image/x-panasonic-rw2 image/rw2 | image/x-panasonic-raw2
raw               | image/x-panasonic-rw image/x-panasonic-raw image/raw image/x-raw
pef               | image/x-pentax-pef image/pef
x3f               | image/x-sigma-x3f image/x3f
erf               | image/x-epson-erf image/erf
kdc               | image/x-kodak-kdc image/kdc
dcr               | image/x-kodak-dcr image/dcr | application/x-director
mrw               | image/x-minolta-mrw image/mrw
3fr               | image/x-hasselblad-3fr image/3fr
iiq               | image/x-phaseone-iiq image/iiq
jls               | image/jls image/x-jls
jxs               | image/jxs
jpm jpgm          | image/jpm video/jpm
jph               | image/jph
j2c jpc           | image/x-jp2-codestream
qoi               | image/qoi image/x-qoi
jng               | image/x-jng
wbmp              | image/vnd.wap.wbmp
ras sun           | image/x-cmu-raster image/x-sun-raster
pict pct pic pict1 pict2 | image/x-pict image/pict
pcd               | image/x-photo-cd
iff lbm ilbm      | image/x-ilbm
sgi rgb           | image/x-sgi image/sgi image/x-rgb
xwd               | image/x-xwindowdump
cgm               | image/cgm
dpx               | image/dpx
ief               | image/ief
fpx               | image/vnd.fpx
mdi               | image/vnd.ms-modi
xif               | image/vnd.xiff
ora               | image/openraster
vtf               | image/vnd.valve.source.texture
fig               | image/x-xfig application/x-xfig | text/plain

# Video
mp4 m4v mpg4 mp4v mpeg4 lrv | video/mp4 video/x-m4v video/x-mp4 video/mp4v-es video/m4v | audio/mp4 application/mp4
mov qt moov qtvr  | video/quicktime video/x-quicktime
webm              | video/webm | audio/webm video/x-matroska
mkv mk3d mks      | video/x-matroska video/matroska | audio/x-matroska video/x-matroska-3d video/webm
avi divx avf      | video/x-msvideo video/avi video/msvideo video/x-avi video/vnd.avi video/divx video/vnd.divx
mpg mpeg mpe m1v m2v mp1v mp2v mpv2 mpeg1 mpeg2 mpv mpv1 | video/mpeg video/mpg video/x-mpeg video/x-mpg video/mpeg-system video/x-mpeg-system video/x-mpeg2 video/mp2p
vob               | video/mpeg | video/dvd video/x-ms-vob
ogv               | video/ogg video/x-ogg video/x-theora+ogg | application/ogg
ogm               | video/ogg | video/x-ogm+ogg application/ogg
ogx               | application/ogg application/x-ogg | audio/ogg video/ogg
3gp 3gpp          | video/3gpp video/3gp | audio/3gpp
3ga               | audio/3gpp | video/3gpp
3g2 3gpp2 3gp2    | video/3gpp2 video/3g2 | audio/3gpp2
ts mts tts        | video/mp2t video/vnd.dlna.mpeg-tts video/mpeg-ts video/mp2ts | text/typescript text/x-typescript application/typescript application/x-typescript text/vnd.trolltech.linguist text/plain model/vnd.mts
m2ts m2t bdm bdmv clpi cpi mpl mpls | video/mp2t | video/mpeg
flv               | video/x-flv video/flv application/x-flash-video
f4v               | video/x-f4v | video/mp4
wmv               | video/x-ms-wmv | video/x-ms-asf
asf asr           | video/x-ms-asf application/vnd.ms-asf | video/x-ms-wmv
asx wax wvx wmx   | audio/x-ms-asx application/x-ms-asx audio/x-ms-wax video/x-ms-wvx video/x-ms-wmx | text/plain
mxf               | application/mxf
dv dif            | video/dv video/x-dv
mj2 mjp2          | video/mj2
rm rmj rmm rms rmx | application/vnd.rn-realmedia | audio/x-pn-realaudio
rmvb              | application/vnd.rn-realmedia-vbr | application/vnd.rn-realmedia
m3u8              | application/vnd.apple.mpegurl application/x-mpegurl | audio/x-mpegurl audio/mpegurl application/mpegurl text/plain
mpd               | application/dash+xml
m4s               | video/iso.segment | audio/iso.segment
mjpeg mjpg        | video/x-mjpeg
mng               | video/x-mng
h261              | video/h261
h263              | video/h263
h264 264          | video/h264
h265 hevc         | video/h265
ivf               | video/x-ivf
flc fli           | video/x-flic video/fli video/x-fli
yuv               | video/x-raw-yuv
nsv               | video/x-nsv
wtv               | video/x-ms-wtv
dvr-ms            | video/x-ms-dvr
wm                | video/x-ms-wm
bik bk2           | video/vnd.radgamettools.bink
smk               | video/vnd.radgamettools.smacker
movie             | video/x-sgi-movie
dvb               | video/vnd.dvb.file
mxu m4u m1u       | video/vnd.mpegurl | text/plain
rv rvx            | video/vnd.rn-realvideo
viv vivo          | video/vnd.vivo

# Audio
mp3 mpga          | audio/mpeg audio/mp3 audio/x-mp3 audio/x-mpeg audio/mpg audio/x-mpg audio/mpeg3 audio/x-mpeg-3
mp2 mpa mp1 mpega m2a m3a mp2a | audio/mpeg | audio/mp2 audio/x-mp2 video/mpeg
m4a m4b m4p m4r f4a f4b f4p mp4a | audio/mp4 audio/x-m4a audio/m4a audio/x-m4b audio/x-m4p audio/x-m4r audio/mp4a-latm | video/mp4 audio/mpeg audio/aac application/mp4
aac adts adt      | audio/aac audio/x-aac audio/aacp audio/vnd.dlna.adts audio/aac-adts audio/x-hx-aac-adts audio/x-acc
wav wave          | audio/wav audio/x-wav audio/wave audio/vnd.wave audio/x-pn-wav
flac              | audio/flac audio/x-flac
ogg oga           | audio/ogg audio/x-ogg audio/vorbis audio/x-vorbis+ogg | application/ogg video/ogg video/x-theora+ogg audio/opus audio/x-flac+ogg audio/x-speex+ogg
opus              | audio/opus audio/x-opus+ogg | audio/ogg application/ogg
spx               | audio/x-speex audio/speex audio/x-speex+ogg | audio/ogg application/ogg
weba              | audio/webm | video/webm
mka               | audio/x-matroska audio/matroska | video/x-matroska
mid midi kar rmi smf | audio/midi audio/x-midi audio/mid audio/sp-midi
xmf mxmf          | audio/mobile-xmf audio/xmf
amr               | audio/amr audio/x-amr audio/amr-nb | audio/3gpp
awb               | audio/amr-wb | audio/3gpp
aif aiff aifc aiffc | audio/aiff audio/x-aiff audio/x-aifc
au snd            | audio/basic audio/x-au
caf               | audio/x-caf audio/caf
wma               | audio/x-ms-wma audio/wma | video/x-ms-asf
ape               | audio/ape audio/x-ape audio/x-monkeys-audio
mpc               | audio/musepack audio/x-musepack | chemical/x-mopac-input
wv wvp            | audio/x-wavpack audio/wavpack
tta               | audio/x-tta audio/tta
ac3 a52           | audio/ac3 audio/x-ac3 audio/vnd.dolby.dd-raw
eac3 ec3          | audio/eac3
dts               | audio/vnd.dts audio/x-dts | text/x-devicetree-source text/plain
dsf               | audio/dsf audio/x-dsf
dff               | audio/x-dff audio/dff
ra ram rax        | audio/vnd.rn-realaudio audio/x-realaudio | audio/x-pn-realaudio application/ram
m3u vlc           | audio/x-mpegurl audio/mpegurl audio/m3u audio/x-m3u | application/vnd.apple.mpegurl application/x-mpegurl text/plain
pls               | audio/x-scpls audio/scpls application/pls | text/plain
voc               | audio/x-voc
qcp               | audio/qcelp audio/evrc-qcp
aa                | audio/x-pn-audibleaudio
aax aaxc          | audio/vnd.audible.aax
mod               | audio/x-mod | video/mpeg application/x-object
669 m15 med mtm ult uni | audio/x-mod
s3m               | audio/x-s3m audio/s3m
xm                | audio/x-xm audio/xm
it                | audio/x-it
mo3               | audio/x-mo3
psid sid          | audio/prs.sid | image/x-mrsid-image
at3 aa3 oma omg   | audio/atrac3
imy ime           | audio/imelody text/x-imelody
dls               | audio/dls

# Fonts
ttf               | font/ttf application/x-font-ttf application/x-font-truetype application/font-ttf | font/sfnt application/font-sfnt
otf               | font/otf application/x-font-otf application/x-font-opentype application/vnd.ms-opentype application/font-otf | font/sfnt application/font-sfnt application/vnd.oasis.opendocument.formula-template
ttc               | font/collection | application/x-font-ttf
otc               | font/collection | application/vnd.oasis.opendocument.chart-template
woff              | font/woff application/font-woff application/x-font-woff
woff2             | font/woff2 application/font-woff2 application/x-font-woff2
eot               | application/vnd.ms-fontobject application/x-font-eot
pfb pfa gsf afm pfm | application/x-font-type1 application/x-font
pcf               | application/x-font-pcf | application/x-font
`
