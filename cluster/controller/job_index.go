package controller

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

type typesUID = types.UID

// indexEnv tells an Indexed Job's containers which index they are.
const indexEnv = "JOB_COMPLETION_INDEX"

// indexes is a set of completion indexes; its text is "1,3-5".
type indexes map[int]bool

func (x indexes) add(i int) { x[i] = true }
func (x indexes) len() int  { return len(x) }

func parseIndexes(text string) indexes {
	x := indexes{}
	for part := range strings.SplitSeq(text, ",") {
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil {
			continue
		}
		for i := a; i <= b; i++ {
			x.add(i)
		}
	}
	return x
}

func (x indexes) String() string {
	var parts []string
	all := slices.Sorted(maps.Keys(x))
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		switch {
		case j == i:
			parts = append(parts, strconv.Itoa(all[i]))
		case j == i+1:
			parts = append(parts, strconv.Itoa(all[i]), strconv.Itoa(all[j]))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d", all[i], all[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// completionIndex is the index that a pod works on.
func completionIndex(p *corev1.Pod) (int, bool) {
	i, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation])
	return i, err == nil && i >= 0
}

// byIndex keeps one active pod for each index that is wanted; the others,
// doubles and those of indexes that are done, are to go.
func (s *jobState) byIndex() (keep, extra []*corev1.Pod) {
	seen := indexes{}
	for _, p := range s.active {
		i, ok := completionIndex(p)
		if !ok || seen[i] || s.done[i] || s.broken[i] || i >= int(value(s.job.Spec.Completions, 0)) {
			extra = append(extra, p)
			continue
		}
		seen.add(i)
		keep = append(keep, p)
	}
	return keep, extra
}

// createPods plans n pods: with Indexed completion for the lowest indexes that
// nobody works on and whose backoff is over.
func (s *jobState) createPods(n int, running []*corev1.Pod) {
	if !s.indexed {
		for range n {
			s.plan.create = append(s.plan.create, s.pod(-1))
		}
		return
	}
	busy := indexes{}
	for _, p := range running {
		if i, ok := completionIndex(p); ok {
			busy.add(i)
		}
	}
	if s.replacesOnlyFailed() {
		for _, p := range s.terminating {
			if i, ok := completionIndex(p); ok {
				busy.add(i)
			}
		}
	}
	for i := 0; i < int(value(s.job.Spec.Completions, 0)) && n > 0; i++ {
		if busy[i] || s.done[i] || s.broken[i] {
			continue
		}
		if wait := s.indexWait(i); wait > 0 {
			s.plan.wait = sooner(s.plan.wait, wait)
			continue
		}
		s.plan.create = append(s.plan.create, s.pod(i))
		n--
	}
}

// failuresOf are the failed pods of one index that count.
func (s *jobState) failuresOf(index int) []*corev1.Pod {
	var all []*corev1.Pod
	for _, p := range s.failedPods {
		i, ok := completionIndex(p)
		if action, _ := s.policy(p); ok && i == index && action != batchv1.PodFailurePolicyActionIgnore {
			all = append(all, p)
		}
	}
	return all
}

// indexWait is the backoff of one index, where each index has its own.
func (s *jobState) indexWait(index int) time.Duration {
	if s.job.Spec.BackoffLimitPerIndex == nil {
		return 0
	}
	failed := s.failuresOf(index)
	if len(failed) == 0 {
		return 0
	}
	wait := jobBackoffFirst
	for i := 1; i < len(failed) && wait < jobBackoffMost; i++ {
		wait *= 2
	}
	return max(s.endOf(failed[0]).Add(min(wait, jobBackoffMost)).Sub(s.now), 0)
}

// indexFailure finds indexes that failed too often, and says when that fails
// the Job: when too many did, or when none is left to run.
func (s *jobState) indexFailure() (reason, message string) {
	for _, p := range s.failedPods {
		i, ok := completionIndex(p)
		if !ok || s.done[i] {
			continue
		}
		action, _ := s.policy(p)
		if action == batchv1.PodFailurePolicyActionFailIndex || len(s.failuresOf(i)) > int(*s.job.Spec.BackoffLimitPerIndex) {
			s.broken.add(i)
		}
	}
	s.plan.status.FailedIndexes = new(s.broken.String())
	if most := s.job.Spec.MaxFailedIndexes; most != nil && s.broken.len() > int(*most) {
		return batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes"
	}
	if s.broken.len() > 0 && s.broken.len()+s.done.len() >= int(value(s.job.Spec.Completions, 0)) {
		return batchv1.JobReasonFailedIndexes, "Job has failed indexes"
	}
	return "", ""
}

// policySucceeds tells which rule of the Job's successPolicy is met: a number
// of completed indexes, of certain ones, or all of these.
func (s *jobState) policySucceeds() (rule int, ok bool) {
	if !s.indexed || s.job.Spec.SuccessPolicy == nil {
		return 0, false
	}
	for i, r := range s.job.Spec.SuccessPolicy.Rules {
		among := s.done
		need := value(r.SucceededCount, 0)
		if r.SucceededIndexes != nil {
			wanted := parseIndexes(*r.SucceededIndexes)
			among = indexes{}
			for index := range wanted {
				if s.done[index] {
					among.add(index)
				}
			}
			if r.SucceededCount == nil {
				need = int32(wanted.len())
			}
		}
		if int32(among.len()) >= need {
			return i, true
		}
	}
	return 0, false
}

// pod makes a pod of the Job, for an index or (-1) for none.
func (s *jobState) pod(index int) *corev1.Pod {
	p := fromTemplate(&s.job.Spec.Template, owner{object: s.job, kind: builtin.Jobs.Kind})
	p.Finalizers = append(p.Finalizers, batchv1.JobTrackingFinalizer)
	if index < 0 {
		return p
	}
	text := strconv.Itoa(index)
	p.GenerateName = s.job.Name + "-" + text + "-"
	p.Spec.Hostname = s.job.Name + "-" + text
	setAnnotation(p, batchv1.JobCompletionIndexAnnotation, text)
	setLabels(p, map[string]string{batchv1.JobCompletionIndexAnnotation: text})
	if s.job.Spec.BackoffLimitPerIndex != nil {
		setAnnotation(p, batchv1.JobIndexFailureCountAnnotation, strconv.Itoa(len(s.failuresOf(index))))
	}
	env := corev1.EnvVar{Name: indexEnv, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{
		APIVersion: "v1", FieldPath: "metadata.labels['" + batchv1.JobCompletionIndexAnnotation + "']"}}}
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			if !slices.ContainsFunc(list[i].Env, func(e corev1.EnvVar) bool { return e.Name == indexEnv }) {
				list[i].Env = append(list[i].Env, env)
			}
		}
	}
	return p
}
