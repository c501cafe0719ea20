import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { replayRequest, runReplay } from '../../src/cli/run-replay.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class ReplReplay extends BaseCommand {
  static override summary = 'Send changes to the other site again.'

  static override description =
    'Sending again is safe: a change takes effect once, however often it arrives, and an older one ' +
    'never replaces a newer one. A replayed change counts as queued again. What a bucket or a time ' +
    'selects is queued in steps, so a selection may be as large as it likes.'

  static override examples = [
    '<%= config.bin %> repl replay --failed',
    '<%= config.bin %> repl replay --since 2h --wait',
    '<%= config.bin %> repl replay --bucket photos --prefix 2026/ --dry-run',
    '<%= config.bin %> repl replay --from 12000 --remote default',
  ]

  static override usage =
    'repl replay (--failed | --from SEQ | --since TIME | --bucket NAME [--prefix TEXT] | --all) ' +
    '[--remote NAME] [--dry-run | --wait] [--json] [--url URL]'

  static override flags = {
    failed: Flags.boolean({
      summary: 'Send the dead letters: what the remote refused for good.',
      exactlyOne: ['failed', 'from', 'since', 'bucket', 'all'],
    }),
    from: Flags.integer({ summary: 'From this place on.', helpValue: 'SEQ', min: 0 }),
    since: Flags.string({
      summary: 'What was made then or later: 2026-03-01T12:00Z, or 2h for two hours ago.',
      helpValue: 'TIME',
    }),
    bucket: Flags.string({ summary: 'What is in this bucket.', helpValue: 'NAME' }),
    prefix: Flags.string({
      summary: 'Keys of it alone.',
      helpValue: 'TEXT',
      dependsOn: ['bucket'],
    }),
    all: Flags.boolean({ summary: 'Send every change there is.' }),
    remote: Flags.string({ summary: 'Only to this remote. Default: all.', helpValue: 'NAME' }),
    'dry-run': Flags.boolean({ summary: 'Only count what would be sent.', exclusive: ['wait'] }),
    wait: Flags.boolean({ summary: 'Until it is acknowledged; Ctrl-C leaves the replay going.' }),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplReplay)
    const { answer, text } = await withClient(flags, (client) =>
      runReplay(client, replayRequest(flags), { wait: flags.wait }),
    )
    if (flags.json) writeJson(answer)
    else writeResult(text)
  }
}
