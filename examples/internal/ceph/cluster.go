package ceph

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/s3presign/presign/examples/internal/child"
)

// marker is the environment variable that makes a test binary the supervisor.
const marker = "PRESIGN_EXAMPLES_CEPH"

// programs lists the required programs.
var programs = []string{"ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin"}

func init() {
	if os.Getenv(marker) == "" {
		return
	}
	if err := supervise(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// supervise runs a server until in ends. It writes the Server as JSON to out.
func supervise(in io.Reader, out io.Writer) (err error) {
	// Ctrl-C reaches the whole process group, but the supervisor must still
	// remove the files.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	_ = os.Unsetenv("CEPH_ARGS")
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	// The daemons do not report their port, so it cannot be 0. Another process
	// might take a port that was free before. In this case serve is repeated
	// with other ports.
	for range 3 {
		if err = serve(ctx, out); !errors.Is(err, errPortTaken) {
			break
		}
	}
	return err
}

var errPortTaken = errors.New("the port is taken")

func serve(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "ceph-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, fail := context.WithCancelCause(ctx)
	c := &cluster{dir: dir, fail: fail}
	defer c.stop()

	starting, cancel := context.WithTimeoutCause(ctx, 2*time.Minute,
		errors.New("the cluster must be ready within two minutes"))
	defer cancel()
	server := c.start(starting)
	if err := errors.Join(context.Cause(starting), c.err); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(server); err != nil {
		return err
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); cause != context.Canceled {
		return cause
	}
	return nil
}

// A cluster consists of a monitor, a storage daemon and two gateways.
type cluster struct {
	dir     string
	err     error                   // of the first failed step; later steps do nothing
	fail    context.CancelCauseFunc // called when a daemon ends
	running []*exec.Cmd
	waiting sync.WaitGroup
}

// config is the configuration of all programs. Its parameters are a directory,
// an ID, the address of the monitor and a key for tokens.
//
// A short propose interval reduces the start from 13 s to 2 s. With the
// default, the monitor collects changes for a second. Authentication among the
// daemons stays on, because radosgw 16.2 does not start without it.
const config = `[global]
fsid = %[2]s
mon host = v2:%[3]s
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms bind retry delay = 1
keyring = %[1]s/keyring
run dir = %[1]s
admin socket =
log file =
log to stderr = true
err to stderr = true
log max recent = 1
debug rocksdb = 0
mon cluster log file =
mon data = %[1]s/mon
mon data avail crit = 1
mon data avail warn = 1
mon allow pool size one = true
mon max pg per osd = 2000
paxos propose interval = 0.05
auth allow insecure global id reclaim = false
osd data = %[1]s/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
rgw data = %[1]s
rgw thread pool size = 32
rgw sts key = %[4]s
rgw sts min session duration = 1
`

const (
	roleName    = "uploads"
	trustPolicy = `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/root"]}, "Action": ["sts:AssumeRole"]}]}`
	rolePolicy = `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["s3:*"], "Resource": "arn:aws:s3:::*"}]}`
)

// start starts the daemons and waits until both gateways respond. It sets c.err
// on failure.
func (c *cluster) start(ctx context.Context) *Server {
	s := &Server{
		RoleARN:   "arn:aws:iam:::role/" + roleName,
		AccessKey: "AKIA" + rand.Text()[:16],
		SecretKey: rand.Text() + rand.Text(),
	}
	fsid, osd, monitor := newUUID(), newUUID(), c.freeAddr()
	keys, monitors := filepath.Join(c.dir, "keyring"), filepath.Join(c.dir, "monmap")
	c.err = errors.Join(c.err,
		os.WriteFile(c.config(), fmt.Appendf(nil, config, c.dir, fsid, monitor, rand.Text()[:16]),
			0o600),
		os.WriteFile(keys, keyring("mon.", "osd.0", "client.admin"), 0o600),
		os.Mkdir(filepath.Join(c.dir, "osd"), 0o700),
	)
	c.run(ctx, "monmaptool", "--create", "--addv", "a", "[v2:"+monitor+"]", "--fsid", fsid,
		monitors)
	c.run(ctx, "ceph-mon", "-i", "a", "--mkfs", "--monmap", monitors, "--keyring", keys)
	c.spawn("ceph-mon", "-f", "-i", "a")
	c.run(ctx, "ceph", "osd", "new", osd)
	c.run(ctx, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
	c.spawn("ceph-osd", "-f", "-i", "0")
	c.run(ctx, "radosgw-admin", "user", "create", "--uid", "root", "--display-name", "root",
		"--access-key", s.AccessKey, "--secret-key", s.SecretKey)
	s.URL = c.gateway("--rgw-s3-auth-use-sts=false")
	s.STSURL = c.gateway("--rgw-s3-auth-use-sts=true")
	c.run(ctx, "radosgw-admin", "role", "create", "--role-name", roleName,
		"--assume-role-policy-doc", trustPolicy)
	c.run(ctx, "radosgw-admin", "role-policy", "put", "--role-name", roleName,
		"--policy-name", "all", "--policy-doc", rolePolicy)
	c.wait(ctx, s.URL)
	c.wait(ctx, s.STSURL)
	return s
}

func (c *cluster) config() string { return filepath.Join(c.dir, "ceph.conf") }

// run runs a tool and waits until it ends.
func (c *cluster) run(ctx context.Context, name string, args ...string) {
	if c.err != nil {
		return
	}
	tool := exec.CommandContext(ctx, name, append(args, "--conf", c.config())...)
	tool.SysProcAttr = child.DieWithParent()
	if output, err := tool.CombinedOutput(); err != nil {
		c.err = fmt.Errorf("%s %s: %w; last output:\n%s", name, args[0], err, tail(output))
	}
}

// spawn starts a daemon. The cluster fails when the daemon ends.
func (c *cluster) spawn(name string, args ...string) {
	if c.err != nil {
		return
	}
	var log *os.File
	if log, c.err = os.CreateTemp(c.dir, name+"-*.log"); c.err != nil {
		return
	}
	defer log.Close()
	daemon := exec.Command(name, append(args, "--conf", c.config())...)
	daemon.Stdout, daemon.Stderr = log, log
	daemon.SysProcAttr = child.DieWithParent()
	if c.err = daemon.Start(); c.err != nil {
		return
	}
	c.running = append(c.running, daemon)
	c.waiting.Go(func() {
		err := daemon.Wait()
		output, _ := os.ReadFile(log.Name())
		// radosgw might end before it has written the reason, but its exit
		// status is the errno.
		if daemon.ProcessState.ExitCode() == int(syscall.EADDRINUSE) ||
			bytes.Contains(output, []byte("Address already in use")) {
			err = errPortTaken
		}
		err = cmp.Or(err, errors.New("exit status 0"))
		c.fail(fmt.Errorf("%s ended: %w; last output:\n%s", name, err, tail(output)))
	})
}

// gateway starts a gateway and returns its URL.
func (c *cluster) gateway(args ...string) (url string) {
	addr := c.freeAddr()
	c.spawn("radosgw",
		append(args, "-f", "--rgw-frontends", "beast tcp_nodelay=1 endpoint="+addr)...)
	return "http://" + addr
}

// wait waits until a gateway responds.
func (c *cluster) wait(ctx context.Context, url string) {
	for c.err == nil {
		response, err := http.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			c.err = fmt.Errorf("%s does not respond", url)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop kills the daemons. The data of the daemons need not be saved.
func (c *cluster) stop() {
	for _, daemon := range c.running {
		_ = daemon.Process.Kill()
	}
	c.waiting.Wait()
}

func (c *cluster) freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.err = cmp.Or(c.err, err)
		return ""
	}
	defer l.Close()
	return l.Addr().String()
}

// keyring returns a keyring file with new keys that have all rights.
func keyring(names ...string) (file []byte) {
	for _, name := range names {
		// A key consists of the type (AES), the creation time, the length and
		// the bytes.
		key := binary.LittleEndian.AppendUint16(nil, 1)
		key = binary.LittleEndian.AppendUint64(key, uint64(time.Now().Unix()))
		key = binary.LittleEndian.AppendUint16(key, 16)
		key = append(key, rand.Text()[:16]...)
		file = fmt.Appendf(file, "[%s]\nkey = %s\n", name, base64.StdEncoding.EncodeToString(key))
		for _, service := range []string{"mon", "osd", "mgr"} {
			file = fmt.Appendf(file, "caps %s = \"allow *\"\n", service)
		}
	}
	return file
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// tail returns the last lines of a log.
func tail(log []byte) string {
	const most = 40
	lines := strings.FieldsFunc(string(log), func(r rune) bool { return r == '\n' })
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
