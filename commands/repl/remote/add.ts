import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { describeRemote } from '../../../src/cli/describe-remotes.ts'
import { describeFirstAnswer, firstAnswer } from '../../../src/cli/first-answer.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { remoteChangeOf, remoteFlags } from '../../../src/cli/remote-flags.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplRemoteAdd extends BaseCommand {
  static override summary = 'Ship to a further site, from now on.'

  static override description =
    'Takes effect at once and is kept in the volume of the site. Everything that is stored is sent, ' +
    'and what was deleted before is not. Several addresses of the same site are tried in turn.'

  static override examples = [
    '<%= config.bin %> repl remote add site-b https://site-b.example.com --remote-token-file ./token',
    '<%= config.bin %> repl remote add photos http://10.0.0.2:8080 http://10.0.0.3:8080 --bucket photos',
    '<%= config.bin %> repl remote add later https://site-c.example.com --paused',
  ]

  static override usage = 'repl remote add NAME ADDRESS... [FLAGS]'

  static override args = {
    name: Args.string({ required: true, description: 'What it is to be called.' }),
    address: Args.string({
      required: true,
      multiple: true,
      description: 'Where it is; more may follow.',
    }),
  }

  static override flags = {
    ...siteFlags,
    ...remoteFlags,
    paused: Flags.boolean({ summary: 'Send nothing until comio repl resume.', default: false }),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplRemoteAdd)
    const change = await remoteChangeOf(flags)
    const entry = { name: args.name, url: args.address, ...change }
    await withClient(flags, async (client) => {
      const answer = await client.addRemote({
        ...entry,
        ...(flags.paused ? { paused: 'true' } : {}),
      })
      if (flags.json) return writeJson(answer)
      writeResult(describeRemote(answer, 'is added'))
      const status = answer.paused ? undefined : await firstAnswer(client, answer.name)
      if (status !== undefined) writeResult(describeFirstAnswer(status))
    })
  }
}
