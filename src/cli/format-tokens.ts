/** The tokens of a site for a person with 80 columns. */
import Table from 'cli-table3'
import type { TokenDescription } from '../admin/protocol.ts'
import { formatInstant } from './format-instant.ts'
import { printable } from './printable.ts'

export function formatTokens(tokens: readonly TokenDescription[]): string {
  if (tokens.length === 0) return 'no token is configured'
  const table = new Table({
    head: ['name', 'role', 'state', 'last used', 'from'],
    colWidths: [19, 13, 14, 12, 16],
    style: { head: [], border: [] },
    wordWrap: true,
    wrapOnWordBoundary: false,
  })
  for (const token of tokens) {
    table.push([
      printable(token.name),
      token.role,
      stateOf(token),
      token.last_used === null ? 'not yet' : formatInstant(token.last_used),
      printable(token.source),
    ])
  }
  return table.toString()
}

function stateOf({ state, expires, revoked_at }: TokenDescription): string {
  if (state === 'revoked')
    return revoked_at === null ? state : `revoked ${formatInstant(revoked_at)}`
  if (expires === null) return state
  return state === 'expired'
    ? `expired ${formatInstant(expires)}`
    : `until ${formatInstant(expires)}`
}
