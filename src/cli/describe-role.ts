import type { RoleDocument } from '../admin/protocol.ts'
import { paint } from './output.ts'
import { printable } from './printable.ts'

/** What was looked at, and what became of it: one line each. */
export function describeRole(answer: RoleDocument): string {
  const checks = answer.checks.map(({ ok, text }) => {
    const mark = ok ? paint('green', 'ok  ') : paint('red', 'NO  ')
    return `${mark}${printable(text)}`
  })
  return [...checks, outcomeOf(answer)].join('\n')
}

function outcomeOf({ outcome, role, checks }: RoleDocument): string {
  switch (outcome) {
    case 'changed':
      return role === 'primary'
        ? 'this site is the primary now: clients may write here'
        : 'this site is a replica now: it refuses writes of clients'
    case 'unchanged':
      return `this site is a ${role} already: nothing was done`
    case 'planned':
      return checks.every(({ ok }) => ok)
        ? 'it would be done; nothing was done (--dry-run)'
        : 'it would be done with --force only; nothing was done (--dry-run)'
    case 'refused':
      return `this site stays a ${role}; --force does it all the same`
  }
}
