/// The page of the daemon: one document that asks nobody but the daemon for anything.
///
/// All that comes from the cluster is entered as text, never as markup; the picture is the program's
/// own, in which such texts are escaped.
enum Page {
    static let html = """
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; connect-src 'self'; \
        style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
        <meta name="viewport" content="width=device-width">
        <link rel="icon" href="data:,">
        <title>needletail</title>
        <style>\(style)</style>
        <header><h1>needletail</h1><span id="node"></span><span id="state"></span></header>
        <section id="facts"></section>
        <section>
          <h2>Changes, from the API to the kernel</h2>
          <svg id="latency" width="900" height="150" viewBox="0 0 900 150"></svg>
          <p id="latencyText"></p>
        </section>
        <section>
          <h2>Explain</h2>
          <form id="form">
            <input id="target" size="34" placeholder="shop/web or 10.96.0.10:80/tcp" required>
            <label>from <input id="from" size="22" placeholder="any client, or 10.244.1.5"></label>
            <button>Explain</button>
          </form>
          <p id="verdict"></p>
          <div id="picture"></div>
          <details><summary>In words</summary><pre id="words"></pre></details>
        </section>
        <section>
          <h2>Services</h2>
          <input id="search" size="34" placeholder="part of a name or an address" type="search">
          <span id="count"></span>
          <table><thead><tr><th>Service<th>Frontends<th>Endpoints</thead><tbody id="services"></tbody></table>
        </section>
        <script>\(script)</script>
        </html>

        """

    private static let style = """
        body { font: 14px/1.4 sans-serif; margin: 0 auto; max-width: 1440px; padding: 0 1em; color: #222 }
        header { display: flex; gap: 1em; align-items: baseline }
        h1 { font-size: 22px } h2 { font-size: 16px; margin: 1.2em 0 .4em }
        .good { color: #2e7d32 } .bad { color: #c62828 } .open { color: #757575 }
        #facts { display: grid; grid-template-columns: max-content 1fr; gap: 0 1em }
        #facts b { font-weight: normal; color: #555 }
        table { border-collapse: collapse; width: 100%; margin-top: .5em }
        th, td { text-align: left; vertical-align: top; padding: .25em .8em .25em 0; border-top: 1px solid #eee }
        a { color: #1565c0; cursor: pointer } pre { white-space: pre-wrap } input, button { font: inherit }
        #picture svg { max-width: 100%; height: auto }
        """

    private static let script = #"""
        'use strict'
        const $ = id => document.getElementById(id)
        const pause = ms => new Promise(done => setTimeout(done, ms))
        async function get(path) {
          for (;;) {
            const answer = await fetch(path, { cache: 'no-store' })
            if (answer.status === 202) { await pause(40); continue }
            if (!answer.ok) throw new Error((await answer.text()).trim())
            return answer.json()
          }
        }
        function element(name, text, parent) {
          const made = document.createElement(name)
          made.textContent = text
          if (parent) parent.append(made)
          return made
        }
        function fact(name, value) { element('b', name, $('facts')); element('span', value, $('facts')) }

        async function status() {
          try {
            const now = await get('status')
            $('node').textContent = `${now.version}, mode ${now.mode}, node ${now.node}`
            $('state').textContent = now.ready ? 'ready' : 'not ready: ' + (now.reason ?? '')
            $('state').className = now.ready ? 'good' : 'bad'
            $('facts').replaceChildren()
            fact('Services', `${now.services}, with ${now.endpoints} endpoints`)
            fact('pending', `${now.pendingChanges} changes`)
            const sync = now.lastSync
            fact('last sync', sync ? `${sync.at}, of ${sync.scope}, ${sync.milliseconds} ms` : 'none')
            const drift = now.drift
            fact('drift', `${drift.detected} changes by other programs, ${drift.repaired} repaired`
              + (drift.last ? `, last ${drift.last}` : ''))
            for (const obstacle of now.forwarding ?? []) fact('forwarding', obstacle)
          } catch (error) {
            $('state').textContent = 'no answer: ' + error.message
            $('state').className = 'bad'
          }
        }

        function shape(name, attributes, parent, text) {
          const made = document.createElementNS('http://www.w3.org/2000/svg', name)
          for (const key in attributes) made.setAttribute(key, attributes[key])
          if (text !== undefined) made.textContent = text
          parent.append(made)
          return made
        }
        const minutes = 10
        async function latency() {
          // The journal comes in pages.
          let entries = [], after = 0
          for (let page = 0; page < 20; page++) {
            const part = await get(`history?since=${minutes * 60}&after=${after}`)
            entries = entries.concat(part.entries)
            after = part.next
            if (!part.hasMore) break
          }
          const changes = entries.filter(entry => entry.milliseconds !== undefined)
          const plot = $('latency')
          plot.replaceChildren()
          // Tenths of a millisecond to ten seconds.
          const y = ms => 130 - 24 * Math.min(5, Math.max(0, Math.log10(Math.max(ms, 0.1)) + 1))
          for (const [ms, name] of [[0.1, '0.1 ms'], [1, '1 ms'], [10, '10 ms'], [100, '0.1 s'], [1000, '1 s']]) {
            shape('path', { d: `M60 ${y(ms)}H890`, stroke: '#eee' }, plot)
            shape('text', { x: 4, y: y(ms) + 4, 'font-size': 11, fill: '#555' }, plot, name)
          }
          const now = Date.now()
          for (const entry of changes) {
            const x = 890 - (now - Date.parse(entry.at)) / (minutes * 60000) * 830
            const dot = shape('circle', { cx: x, cy: y(entry.milliseconds), r: 3, fill: '#1565c0' }, plot)
            shape('title', {}, dot, `${entry.at} ${entry.service ?? ''} ${entry.milliseconds} ms`)
          }
          for (const entry of entries.filter(entry => entry.kind === 'foreignChange' || entry.kind === 'refused')) {
            const x = 890 - (now - Date.parse(entry.at)) / (minutes * 60000) * 830
            const mark = shape('path', { d: `M${x} 10V130`, stroke: '#c62828' }, plot)
            shape('title', {}, mark, `${entry.at} ${entry.text}`)
          }
          const sorted = changes.map(entry => entry.milliseconds).sort((a, b) => a - b)
          $('latencyText').textContent = sorted.length === 0
            ? `no change in the last ${minutes} minutes`
            : `${sorted.length} changes in the last ${minutes} minutes: half of them within `
              + `${sorted[Math.floor((sorted.length - 1) / 2)]} ms, all within ${sorted[sorted.length - 1]} ms; `
              + 'red lines are changes by other programs and refusals'
        }

        async function explain(target, from) {
          $('target').value = target
          $('from').value = from
          location.hash = new URLSearchParams({ explain: target, from })
          $('verdict').textContent = '…'
          $('picture').replaceChildren()
          $('words').textContent = ''
          try {
            const answer = await get('explain?' + new URLSearchParams({ target, from }))
            $('verdict').textContent = answer.agrees === true ? 'The kernel does this.'
              : answer.agrees === false ? 'The kernel does something else.' : 'Nobody can tell.'
            $('verdict').className = answer.agrees === true ? 'good' : answer.agrees === false ? 'bad' : 'open'
            const picture = new DOMParser().parseFromString(answer.picture, 'image/svg+xml')
            $('picture').append(document.importNode(picture.documentElement, true))
            $('words').textContent = answer.text
          } catch (error) {
            $('verdict').textContent = error.message
            $('verdict').className = 'bad'
          }
        }

        let asked = 0
        async function services() {
          const mine = ++asked
          const list = await get('services?' + new URLSearchParams({ search: $('search').value.trim() }))
          if (mine !== asked) return
          $('count').textContent = `${list.matching} of ${list.total}`
            + (list.services.length < list.matching ? `, the first ${list.services.length}` : '')
          $('services').replaceChildren(...list.services.map(service => {
            const row = document.createElement('tr')
            const link = element('a', service.name, element('td', '', row))
            link.onclick = () => { explain(service.name, ''); $('form').scrollIntoView() }
            const frontends = element('td', '', row)
            for (const frontend of service.frontends) {
              element('div', `${frontend.address} ${frontend.kind} ${frontend.port}`, frontends)
            }
            const rest = service.endpointCount - service.endpoints.length
            element('td', service.endpoints.join(', ') + (rest > 0 ? ` and ${rest} more` : ''), row)
            return row
          }))
        }

        async function again(work, seconds) {
          for (;;) {
            await work().catch(() => {})
            await pause(seconds * 1000)
          }
        }
        $('form').onsubmit = event => {
          event.preventDefault()
          explain($('target').value.trim(), $('from').value.trim())
        }
        $('search').oninput = () => services().catch(() => {})
        const asks = new URLSearchParams(location.hash.slice(1))
        if (asks.get('search')) $('search').value = asks.get('search')
        if (asks.get('explain')) explain(asks.get('explain'), asks.get('from') ?? '')
        again(status, 2)
        again(latency, 5)
        again(services, 10)
        """#
}
