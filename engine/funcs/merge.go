package funcs

import "dario.cat/mergo"

// The functions that merge tables change the first one and return it. merge fills in
// what is missing or empty there, mergeOverwrite prefers the later tables unless a
// value there is empty. Both give an empty text on an error.

func merge(table map[string]any, others ...map[string]any) any {
	out, err := mustMerge(table, others...)
	if err != nil {
		return ""
	}
	return out
}

func mustMerge(table map[string]any, others ...map[string]any) (any, error) {
	for _, other := range others {
		if err := mergo.Merge(&table, other); err != nil {
			return nil, err
		}
	}
	return table, nil
}

func mergeOverwrite(table map[string]any, others ...map[string]any) any {
	out, err := mustMergeOverwrite(table, others...)
	if err != nil {
		return ""
	}
	return out
}

func mustMergeOverwrite(table map[string]any, others ...map[string]any) (any, error) {
	for _, other := range others {
		if err := mergo.Merge(&table, other, mergo.WithOverride); err != nil {
			return nil, err
		}
	}
	return table, nil
}
