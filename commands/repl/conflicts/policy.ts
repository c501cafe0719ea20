import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplConflictsPolicy extends BaseCommand {
  static override summary = 'Show or set what a bucket does with losers of conflicts.'

  static override description =
    'last-write-wins lists them; keep-both also keeps their objects, as ' +
    'KEY.conflict-SITE-STAMP in the same bucket. The setting replicates. Without one, each site ' +
    'goes by its replication.conflict_policy.'

  static override examples = [
    '<%= config.bin %> repl conflicts policy photos',
    '<%= config.bin %> repl conflicts policy photos --set keep-both',
  ]

  static override args = { bucket: Args.string({ description: 'The bucket.', required: true }) }

  static override flags = {
    set: Flags.option({
      summary: 'The policy from now on; "default" goes by the configuration of each site.',
      options: ['last-write-wins', 'keep-both', 'default'] as const,
    })(),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplConflictsPolicy)
    const answer = await withClient(flags, (client) =>
      flags.set === undefined
        ? client.conflictPolicy(args.bucket)
        : client.setConflictPolicy(args.bucket, flags.set === 'default' ? null : flags.set),
    )
    if (flags.json) writeJson(answer)
    else writeResult(`${answer.policy}${answer.own ? '' : ' (by the configuration of the site)'}`)
  }
}
