/** A link in words: what somebody wants to know before any figure. */

import type { RemoteStatus } from '../admin/protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { formatDuration } from '../base/duration.ts'
import { formatCount } from '../base/format-count.ts'
import type { LinkRates } from './status-history.ts'

export type Tone = 'good' | 'busy' | 'bad' | 'off'

export interface LinkDescription {
  readonly tone: Tone
  readonly headline: string
}

/** The only remote has the name `default`, which says nothing: its host and port say more. */
export function labelOf(remote: RemoteStatus): string {
  return remote.name === 'default' ? (URL.parse(remote.url)?.host ?? remote.url) : remote.name
}

export function describeLink(remote: RemoteStatus, rates?: LinkRates): LinkDescription {
  const label = labelOf(remote)
  const since = formatTime(remote.state_since)
  switch (remote.state) {
    case 'disabled':
      return { tone: 'off', headline: `replication to ${label} is off; ${waiting(remote)}` }
    case 'connecting':
      return { tone: 'busy', headline: `connecting to ${label}; ${waiting(remote)}` }
    case 'paused':
      return { tone: 'busy', headline: `${label} is paused since ${since}; ${waiting(remote)}` }
    case 'unreachable':
      return {
        tone: 'bad',
        headline: `${label} does not answer since ${since}; nothing is lost, ${waiting(remote)}`,
      }
    case 'refused':
      return {
        tone: 'bad',
        headline: `${label} says no since ${since}; nothing is lost, ${waiting(remote)}`,
      }
    case 'full':
      return {
        tone: 'bad',
        headline: `${label} has no room since ${since}; nothing is lost, ${waiting(remote)}`,
      }
    case 'failing':
      return {
        tone: 'bad',
        headline: `shipping to ${label} fails here since ${since}; nothing is lost, ${waiting(remote)}`,
      }
    case 'catching-up':
    case 'idle':
    case 'streaming':
      return describeFlowing(remote, { label, rates })
    default:
      return describeUnknown(remote.state, label)
  }
}

function describeFlowing(
  remote: RemoteStatus,
  { label, rates }: { label: string; rates: LinkRates | undefined },
): LinkDescription {
  const failed = remote.dead_letters
  const except = failed === 0 ? '' : ` except ${changes(failed)} that it refused`
  if (remote.pending_events === 0) {
    const headline = `${label} has everything up to seq ${formatCount(remote.head)}${except}`
    return { tone: failed === 0 ? 'good' : 'bad', headline }
  }
  if (remote.held_deletes > 0) {
    const headline = `deletes to ${label} are held: more than its limits allow; ${waiting(remote)}`
    return { tone: 'bad', headline }
  }
  if (remote.delayed_until !== null && remote.delayed_events >= remote.pending_events) {
    const until = formatTime(remote.delayed_until)
    const headline = `${label} is ${changes(remote.pending_events)} behind on purpose; the oldest goes at ${until}`
    return { tone: 'good', headline }
  }
  const size = formatByteSize(remote.pending_bytes)
  const behind = `${label} is ${changes(remote.pending_events)} (${size}) behind`
  return { tone: 'busy', headline: `${behind}, ${describeTrend(remote, rates)}` }
}

/** A site that is newer than this program may know further states. */
function describeUnknown(state: never, label: string): LinkDescription {
  return { tone: 'bad', headline: `the link to ${label} is ${String(state)}` }
}

/** `about 4 s`, `growing`, `holding level`: when the backlog will be gone, as far as that can be said. */
export function describeTrend(remote: RemoteStatus, rates: LinkRates | undefined): string {
  if (remote.pending_events === 0) return 'nothing waits'
  if (rates === undefined) return atRateOf(remote)
  const gain = rates.outPerSecond - rates.inPerSecond
  if (gain > 0) return `about ${formatDuration((remote.pending_events / gain) * 1e3)}`
  if (gain < 0) return 'growing'
  return rates.outPerSecond > 0 ? 'holding level' : 'not moving'
}

/** From one look alone: what comes in meanwhile is not known. */
function atRateOf(remote: RemoteStatus): string {
  if (remote.rate === 0) return 'not moving yet'
  return `about ${formatDuration((remote.pending_events / remote.rate) * 1e3)} at this rate`
}

/** `14:02:11` today, with the date on any other day; local time. */
export function formatTime(iso: string, now = new Date()): string {
  const time = new Date(iso)
  if (Number.isNaN(time.getTime())) return iso
  const two = (value: number): string => String(value).padStart(2, '0')
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')
  if (time.toDateString() === now.toDateString()) return clock
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`
}

function waiting(remote: RemoteStatus): string {
  if (remote.pending_events === 0) return 'nothing waits'
  return `${changes(remote.pending_events)} ${remote.pending_events === 1 ? 'waits' : 'wait'}`
}

function changes(count: number): string {
  return `${formatCount(count)} ${count === 1 ? 'change' : 'changes'}`
}
