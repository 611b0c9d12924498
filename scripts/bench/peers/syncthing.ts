import { linkSync, statSync } from 'node:fs'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { until } from '../../lib/daemon.ts'
import type { Machine } from './machines.ts'
import type { Peer } from './peer.ts'
import { output, run, Service } from './processes.ts'

const SYNC_PORT = 22_000
const API_PORT = 8_384
const API_KEY = 'bench'
const POLL_MS = 5
const COMPLETE_MS_MAX = 280_000
/** Its machines exchange their indexes after they have connected, and it does not say when that is done. */
const SETTLE_MS = 1_500

/** Syncthing: a folder that all machines share, in plain text. It is told to look, so that its own delay does not count. */
export class Syncthing implements Peer {
  readonly restores = false
  private machines: readonly Machine[] = []
  private readonly services: Service[] = []
  private folder = ''

  async start(machines: readonly Machine[], folder: string): Promise<void> {
    this.machines = machines
    this.folder = folder
    const ids: string[] = []
    for (const [i] of machines.entries()) {
      await mkdir(join(this.storeOf(i), '.stfolder'), { recursive: true })
      const home = `--home=${this.homeOf(i)}`
      await run(['syncthing', 'generate', home, '--no-default-folder'], this.env())
      ids.push((await output(['syncthing', home, '--device-id'], this.env())).trim())
    }
    for (const [i, machine] of machines.entries()) {
      await writeFile(join(this.homeOf(i), 'config.xml'), this.configOf(i, ids))
      const serve = ['syncthing', 'serve', `--home=${this.homeOf(i)}`, '--no-browser', '--no-restart']
      this.services.push(new Service(machine.at(...serve, '--no-default-folder'), this.env()))
    }
    for (const [i] of machines.entries()) {
      await until('syncthing is connected', async () => {
        const { connections } = (await this.ask(i, 'GET', '/rest/system/connections')) as Connections
        return Object.values(connections).filter(({ connected }) => connected).length >= machines.length - 1
      })
    }
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
  }

  async send(source: string): Promise<void> {
    const sizes = new Map<string, number>()
    const before = new Map<string, number>()
    for (const path of await filesOf(source)) {
      const name = basename(path)
      await rm(join(this.storeOf(0), name), { force: true })
      linkSync(path, join(this.storeOf(0), name))
      sizes.set(name, (await stat(path)).size)
      for (const [i] of this.receivers()) before.set(`${i}/${name}`, inodeOf(join(this.storeOf(i), name)))
    }
    await this.ask(0, 'POST', '/rest/db/scan?folder=f')
    await Promise.all(this.receivers().map(([i]) => this.complete(i, sizes, before)))
  }

  /** Waits until this machine has all files. It writes to a temporary file, and renames that once it is verified. */
  private async complete(index: number, sizes: Map<string, number>, before: Map<string, number>): Promise<void> {
    const missing = new Map(sizes)
    const isHere = (name: string): boolean => {
      const found = statSync(join(this.storeOf(index), name), { throwIfNoEntry: false })
      return found?.size === missing.get(name) && found?.ino !== before.get(`${index}/${name}`)
    }
    const end = performance.now() + COMPLETE_MS_MAX
    while (missing.size > 0) {
      for (const name of missing.keys()) {
        if (!isHere(name)) break
        missing.delete(name)
      }
      if (performance.now() > end) {
        throw new Error(`timed out: ${[...missing.keys()].filter(name => !isHere(name)).length} files are missing`)
      }
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
  }

  async copyOn(index: number, source: string): Promise<string> {
    const isFile = (await stat(source)).isFile()
    return isFile ? join(this.storeOf(index), basename(source)) : this.storeOf(index)
  }

  storeOf(index: number): string {
    return join(this.folder, String(index), 'shared')
  }

  cpuSeconds(): number {
    return this.services.reduce((sum, service) => sum + service.cpuSeconds(), 0)
  }

  peakRss(): Record<string, number> {
    return Object.fromEntries(this.services.map((service, i) => ['ABC'[i], service.peakRss()]))
  }

  async stop(): Promise<void> {
    await Promise.all(this.services.map(service => service.stop()))
  }

  private receivers(): Array<[number, Machine]> {
    return [...this.machines.entries()].slice(1)
  }

  private homeOf(index: number): string {
    return join(this.folder, String(index), 'home')
  }

  private env(): { env: Record<string, string> } {
    return { env: { HOME: this.folder, STNOUPGRADE: '1', STNODEFAULTFOLDER: '1' } }
  }

  private async ask(index: number, method: string, path: string): Promise<unknown> {
    const url = `http://${(this.machines[index] as Machine).address}:${API_PORT}${path}`
    const answer = await fetch(url, { method, headers: { 'X-API-Key': API_KEY } })
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}`)
    const text = await answer.text()
    return text === '' ? undefined : JSON.parse(text)
  }

  private configOf(index: number, ids: readonly string[]): string {
    const devices = ids.map((id, i) => {
      const address = `tcp://${(this.machines[i] as Machine).address}:${SYNC_PORT}`
      return `<device id="${id}" name="${i}" compression="metadata"><address>${address}</address></device>`
    })
    const { address } = this.machines[index] as Machine
    return `<configuration version="36">
<folder id="f" label="f" path="${this.storeOf(index)}" type="sendreceive" rescanIntervalS="0" fsWatcherEnabled="false">
${ids.map(id => `<device id="${id}"/>`).join('')}<minDiskFree unit="%">0</minDiskFree></folder>
${devices.join('\n')}
<gui enabled="true" tls="false"><address>${address}:${API_PORT}</address><apikey>${API_KEY}</apikey></gui>
<options><listenAddress>tcp://${address}:${SYNC_PORT}</listenAddress>
${['globalAnnounce', 'localAnnounce', 'relays', 'nat'].map(name => `<${name}Enabled>false</${name}Enabled>`).join('')}
<startBrowser>false</startBrowser><urAccepted>-1</urAccepted><crashReportingEnabled>false</crashReportingEnabled>
<setLowPriority>false</setLowPriority><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
<reconnectionIntervalS>1</reconnectionIntervalS></options>
</configuration>`
  }
}

interface Connections {
  connections: Record<string, { connected: boolean }>
}

async function filesOf(source: string): Promise<string[]> {
  if ((await stat(source)).isFile()) return [source]
  return (await readdir(source)).map(name => join(source, name))
}

function inodeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? 0
}
