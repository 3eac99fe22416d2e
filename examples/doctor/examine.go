package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

const (
	atOnce      = 8 // cases
	cleanupTime = 5 * time.Minute
	longestSkew = time.Minute // that is waited for
)

// examine finds out all that a Report tells. Whatever becomes of it, nothing is left of what it put.
func (p *patient) examine(ctx context.Context) (_ *Report, err error) {
	clock, err := p.clock(ctx)
	if err != nil {
		return nil, err
	}
	target := conformance.Target{
		Client: p.store, Signer: p.signing, Bucket: p.bucket, HTTP: p.http, Prefix: p.uploads(), FinalPrefix: p.published(),
		Session: p.session, SessionURL: p.sessionURL, Behind: min(max(clock.behind+clock.within, 0), longestSkew),
	}
	put := target.Prepare(ctx)
	if answer, err := conformance.AnswerOf(put); put != nil && err == nil && answer.Status < 500 { // so that nothing is left
		flag := "-profile"
		if p.store != p.signing {
			flag = "-store-profile"
		}
		return nil, p.refused(answer, flag, "the role of the store cannot put an object under "+p.prefix)
	}
	defer func() {
		// Requests that were cut off may still arrive.
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		if cleanErr := p.clean(cleaning); cleanErr != nil {
			err = errors.Join(err, fmt.Errorf("something may be left under %s and %s: %w", p.uploads(), p.published(), cleanErr))
		}
	}()
	if put != nil {
		return nil, fmt.Errorf("the role of the store cannot put an object under %s: %w", p.prefix, put)
	}
	if err := p.removable(ctx, target.Private()); err != nil {
		return nil, err
	}
	plainest := target.Run(ctx, conformance.Cases()[0])
	switch {
	case plainest.Err != nil:
		return nil, plainest.Err
	case !plainest.Answer.Accepted():
		return nil, p.refused(plainest.Answer, "-profile", "the role that signs needs s3:PutObject under "+p.prefix)
	}
	results, err := runAll(ctx, target)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Bucket: p.bucket, Endpoint: clock.host, Region: p.signing.Options().Region, Prefix: p.uploads(),
		Enforced: true, Constraints: judge(results), Paste: p.paste(),
	}
	for _, c := range r.Constraints {
		r.Enforced = r.Enforced && c.Verdict != NotEnforced && c.Verdict != Unproven
	}
	r.Around, err = p.around(ctx, clock, r.Constraints)
	return r, err
}

// refused says what the refusal of the plainest request is about. The flag names whose credentials made it.
func (p *patient) refused(answer conformance.Answer, flag, otherwise string) error {
	switch answer.Code {
	case "NoSuchBucket":
		return fmt.Errorf("the store has no bucket %q, which -bucket names (%v)", p.bucket, answer)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken":
		return fmt.Errorf("the store does not take the credentials, which %s names, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%v)", flag, answer)
	}
	return fmt.Errorf("the store answers an honest PUT with %v; %s", answer, otherwise)
}

// runAll runs the matrix, some cases at a time.
func runAll(ctx context.Context, target conformance.Target) ([]conformance.Result, error) {
	cases := conformance.Cases()
	results := make([]conformance.Result, len(cases))
	next := make(chan int)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range next {
				if cases[i].Session && !target.Session.HasKeys() {
					results[i] = conformance.Result{Case: cases[i], Err: errNoSession}
					continue
				}
				results[i] = target.Run(ctx, cases[i])
			}
		})
	}
	for i := range cases {
		if ctx.Err() == nil {
			next <- i
		}
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return nil, errors.New("interrupted; what it had put is removed")
	}
	return results, nil
}

var errNoSession = errors.New("the credentials have no session token, and there is no -role")

// judge sorts results by kind and constraint, in the order of the matrix.
func judge(results []conformance.Result) (rows []Constraint) {
	of := func(r conformance.Result) string { return string(r.Case.Kind) + " " + string(r.Case.Constraint) }
	for len(results) > 0 {
		n := 1
		for n < len(results) && of(results[n]) == of(results[0]) {
			n++
		}
		rows = append(rows, verdict(results[:n]))
		results = results[n:]
	}
	// Where not even an honest upload is taken, nothing is shown by what is refused.
	for _, honest := range rows {
		if honest.Constraint != string(conformance.Honest) || honest.Verdict != NotOffered {
			continue
		}
		for i, c := range rows {
			if c.Kind == honest.Kind && c.Constraint != honest.Constraint {
				rows[i] = Constraint{Kind: c.Kind, Constraint: c.Constraint, Verdict: NotOffered, Answers: honest.Answers, Cases: c.Cases}
			}
		}
	}
	return rows
}

// verdict says what the cases of one constraint show.
func verdict(results []conformance.Result) Constraint {
	first := results[0].Case
	c := Constraint{Kind: string(first.Kind), Constraint: string(first.Constraint), Verdict: Enforced}
	var refusals, acceptances, honest answers
	var lost []string
	tried, refusedHonest := 0, 0
	for _, r := range results {
		tried++
		cheat := !r.Case.Want.Accepted()
		shown := Case{Name: r.Case.Name, AWS: r.Case.Want.String(), Refused: cheat, Unverified: r.Case.Unverified, Broken: r.Broken}
		switch {
		case errors.Is(r.Err, errNoSession):
			tried--
		case len(presign.Violations(r.Err)) > 0: // the library itself grants no such thing here
			refusedHonest++
			shown.Error = r.Err.Error()
		case r.Err != nil:
			shown.Error = plain(r.Err).Error()
			c.Unknown = append(c.Unknown, r.Case.Name+": "+shown.Error)
		default:
			shown.Answer = r.Answer.String()
			switch {
			case !r.Answer.Accepted() && !r.Refused() && (!cheat || r.Broken == ""):
				c.Unknown = append(c.Unknown, r.Case.Name+": it fails with "+shown.Answer+", which does not say that it is refused")
			case r.Case.Do == nil && r.Case.Call == nil && !cheat && !r.Answer.Accepted():
				refusedHonest++
				honest.add(shown.Answer)
			case r.Broken != "":
				acceptances.add(shown.Answer)
				c.Broken = append(c.Broken, r.Case.Name+": "+r.Broken)
			case cheat && !r.Answer.Accepted():
				refusals.add(shown.Answer)
			case !cheat && r.Answer.Accepted():
				honest.add(shown.Answer)
			}
			if r.Case.Do == nil && r.Broken == "" {
				for _, name := range r.Lost {
					(*answers)(&lost).add(name)
				}
			}
		}
		c.Cases = append(c.Cases, shown)
	}
	advice := adviceFor(first.Kind, first.Constraint)
	switch {
	case tried == 0:
		c.Verdict, c.Note = NotTried, errNoSession.Error()
	case refusedHonest > 0 && len(c.Broken) == 0:
		c.Verdict, c.Note, c.Instead = NotOffered, "an honest upload is refused", advice.lacking
		c.Answers = honest
		return c
	case len(c.Broken) > 0:
		c.Verdict, c.Instead = cmp.Or(advice.verdict, NotEnforced), advice.instead
	case len(c.Unknown) > 0:
		c.Verdict = Unproven
	case first.Constraint == conformance.OtherHeaders && len(honest) > 0:
		c.Verdict, c.Note = Admitted, "as at AWS: completion refuses what was not granted, but for the Cache-Control of browsers"
	}
	if first.Kind == conformance.Form && first.Constraint == conformance.Unsigned && c.Verdict == Enforced && len(honest) > 0 {
		c.Note = "the headers of a form's request are ignored"
	}
	if len(lost) > 0 && (first.Constraint == conformance.Honest || first.Constraint == conformance.Headers) {
		c.Note = "stored without " + strings.Join(lost, ", ") + "; a published copy has it again"
	}
	switch {
	case len(acceptances) > 0:
		c.Answers = acceptances
	case len(refusals) > 0:
		c.Answers = refusals
	default:
		c.Answers = honest
	}
	return c
}

// answers are different ones, in the order of the cases.
type answers []string

func (a *answers) add(answer string) {
	if !slices.Contains(*a, answer) {
		*a = append(*a, answer)
	}
}
