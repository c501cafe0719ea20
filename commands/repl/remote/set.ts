import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { describeRemote } from '../../../src/cli/describe-remotes.ts'
import { UsageError } from '../../../src/cli/errors.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { remoteChangeOf, remoteFlags } from '../../../src/cli/remote-flags.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplRemoteSet extends BaseCommand {
  static override summary = 'Change a remote that was added while the site ran.'

  static override description =
    'Takes effect at once. What is not said stays as it is; --clear takes a field back. With another ' +
    'choice of buckets or prefixes the remote gets everything of it from the beginning: what it has ' +
    'already it takes for a duplicate. Another token alone is shown from the next request on, and the ' +
    'link goes on. Remotes of the configuration are changed there.'

  static override examples = [
    '<%= config.bin %> repl remote set site-b --workers 8',
    '<%= config.bin %> repl remote set site-b --remote-url https://b1.example.com --remote-url https://b2.example.com',
    '<%= config.bin %> repl remote set photos --clear buckets',
    '<%= config.bin %> repl remote set site-b --remote-token-file ./new.token',
  ]

  static override args = {
    name: Args.string({ required: true, description: 'The remote.' }),
  }

  static override flags = {
    ...siteFlags,
    ...remoteFlags,
    'remote-url': Flags.string({ summary: 'Where it is.', multiple: true, helpValue: 'URL' }),
    clear: Flags.string({
      summary: 'Take a field back, such as buckets, prefixes or workers.',
      multiple: true,
      helpValue: 'FIELD',
    }),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplRemoteSet)
    const cleared = Object.fromEntries((flags.clear ?? []).map((field) => [field, null]))
    const urls = flags['remote-url']
    const address = urls === undefined ? {} : { url: urls }
    const change = { ...cleared, ...(await remoteChangeOf(flags)), ...address }
    if (Object.keys(change).length === 0) {
      const hint = 'Add --help to the command to see what can be changed.'
      throw new UsageError('nothing is said that should be changed', { hint })
    }
    const answer = await withClient(flags, (client) => client.setRemote(args.name, change))
    if (flags.json) writeJson(answer)
    else writeResult(describeRemote(answer, 'is changed'))
  }
}
