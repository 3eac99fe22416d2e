package main

import "context"

// measure returns the whole table.
func (b *bucket) measure(ctx context.Context, e effort) (all table, err error) {
	for _, measure := range []func(context.Context, effort) (table, error){b.signing, b.serving, b.scaling} {
		rows, err := measure(ctx, e)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}
