/** What `repl promote` and `repl demote` share: both ask, say what spoke against it, and end with it. */
import { Flags } from '@oclif/core'
import type { RoleDocument } from '../admin/protocol.ts'
import { describeRole } from './describe-role.ts'
import { CommandFailedError } from './errors.ts'
import { writeJson, writeResult } from './output.ts'
import { type SiteFlags, siteFlags, withClient } from './site-flags.ts'

export const roleFlags = {
  force: Flags.boolean({ summary: 'Also when a check speaks against it.', default: false }),
  'dry-run': Flags.boolean({ summary: 'Only look and say what would be done.', default: false }),
  json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
  ...siteFlags,
}

type RoleFlags = SiteFlags & {
  readonly force: boolean
  readonly 'dry-run': boolean
  readonly json: boolean
}

/** @throws CommandFailedError when it was refused */
export async function changeRole(role: RoleDocument['role'], flags: RoleFlags): Promise<void> {
  const { force, 'dry-run': dry_run } = flags
  const answer = await withClient(flags, (client) => client.changeRole({ role, force, dry_run }))
  if (flags.json) writeJson(answer)
  else writeResult(describeRole(answer))
  if (answer.outcome === 'refused') throw new CommandFailedError('a check speaks against it')
}
