// Drives a Verilated design through its AXI4-Stream ports: any number of inputs and outputs, of any width.
//
//   harness --in FILE... --out FILE... --samples N [--stall-in P] [--stall-out P] [--seed N]
//           [--watchdog CYCLES] [--timing FILE] [--totals N,N,...] [--cycles FILE] [--quiet]
//
// One file per port, in the order of harness_config.h, which is generated for the design. A beat is a fixed number of
// bytes, least significant first. Inputs hold at least N samples. --totals says how many beats pass each port, inputs first,
// where that is no multiple of a sample. A port with marks has a byte more per beat: bit 0 is TUSER, bit 1 TLAST. --cycles
// writes the cycle of every output beat, 8 bytes each, port by port.
//
// Protocol: TVALID, once raised, stays until the beat is taken; with --stall-in P an idle input waits with probability P
// in each cycle, with --stall-out P an output is not ready with probability P. TLAST of the outputs is checked.
// A result as JSON goes to stdout, progress lines ("progress CYCLE SAMPLES TOTAL") and messages to stderr.
// Exit code: 0 done, 1 usage or files, 3 protocol error or no progress (the JSON then has "error").
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "harness_config.h"
#include "verilated.h"

namespace {

// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0xD1B54A32D192ED03ull) {
        if (state_ == 0) state_ = 1;
    }
    // True with probability threshold / 2^32.
    bool below(uint64_t threshold) {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return ((state_ * 0x2545F4914F6CDD1Dull) >> 32) < threshold;
    }

private:
    uint64_t state_;
};

[[noreturn]] void usage(const std::string& message) {
    std::fprintf(stderr, "harness: %s\n", message.c_str());
    std::exit(1);
}

struct Options {
    std::vector<std::string> in, out;
    uint64_t samples = 0, seed = 1, watchdog = 100000;
    uint64_t stallIn = 0, stallOut = 0;  // probabilities x 2^32
    std::vector<uint64_t> totals;
    std::string timing, cycles;
    bool quiet = false;
};

uint64_t probability(const char* text) {
    const double p = std::atof(text);
    if (!(p >= 0.0 && p < 1.0)) usage("a stall probability is at least 0 and below 1");
    return static_cast<uint64_t>(p * 4294967296.0);
}

std::vector<uint64_t> numbers(const char* text) {
    std::vector<uint64_t> list;
    for (char* end = nullptr;; text = end + 1) {
        list.push_back(std::strtoull(text, &end, 10));
        if (*end != ',') return list;
    }
}

Options parse(int argc, char** argv) {
    Options o;
    for (int i = 1; i < argc; i++) {
        const std::string a = argv[i];
        if (a == "--quiet") {
            o.quiet = true;
            continue;
        }
        if (i + 1 >= argc) usage("no value for " + a);
        const char* v = argv[++i];
        if (a == "--in") o.in.push_back(v);
        else if (a == "--out") o.out.push_back(v);
        else if (a == "--samples") o.samples = std::strtoull(v, nullptr, 10);
        else if (a == "--seed") o.seed = std::strtoull(v, nullptr, 10);
        else if (a == "--watchdog") o.watchdog = std::strtoull(v, nullptr, 10);
        else if (a == "--stall-in") o.stallIn = probability(v);
        else if (a == "--stall-out") o.stallOut = probability(v);
        else if (a == "--timing") o.timing = v;
        else if (a == "--cycles") o.cycles = v;
        else if (a == "--totals") o.totals = numbers(v);
        else usage("unknown option " + a);
    }
    if (o.in.size() != kInputCount || o.out.size() != kOutputCount) usage("one --in per input and one --out per output");
    if (!o.totals.empty() && o.totals.size() != kInputCount + kOutputCount) usage("one of --totals per port");
    return o;
}

// Cycles of the first and last beat of each sample at one port.
struct Timing {
    std::vector<uint64_t> first, last;
    void beat(uint64_t cycle, bool isFirst, bool isLast) {
        if (isFirst) first.push_back(cycle);
        if (isLast) last.push_back(cycle);
    }
};

struct Port {
    const PortConfig* config = nullptr;
    std::FILE* file = nullptr;
    std::vector<uint8_t> bytes;
    Random random{1};
    Timing timing;
    std::vector<uint64_t> cycles;  // of output beats
    uint64_t done = 0, total = 0;  // beats
    uint64_t inSample = 0;         // beat number within the sample
    bool active = false;           // input: TVALID; output: TREADY

    void count(uint64_t cycle) {
        timing.beat(cycle, inSample == 0, inSample + 1 == config->beatsPerSample);
        done++;
        if (++inSample == config->beatsPerSample) inSample = 0;
    }
};

class Simulation {
public:
    explicit Simulation(const Options& o) : options_(o), inputs_(kInputCount), outputs_(kOutputCount) {
        context_.randReset(0);
        for (unsigned i = 0; i < kInputCount; i++) open(inputs_[i], kInputs[i], o.in[i], "rb", i);
        for (unsigned i = 0; i < kOutputCount; i++) open(outputs_[i], kOutputs[i], o.out[i], "wb", 1000 + i);
        for (unsigned i = 0; i < o.totals.size(); i++) (i < kInputCount ? inputs_[i] : outputs_[i - kInputCount]).total = o.totals[i];
    }

    int run() {
        started_ = std::chrono::steady_clock::now();
        reset();
        const bool complete = stream();
        if (complete) drain();
        for (Port& p : outputs_)
            if (std::fclose(p.file) != 0) fail("cannot write the outputs of " + std::string(p.config->name));
        report();
        writeTiming();
        writeCycles();
        return error_.empty() ? 0 : 3;
    }

private:
    const Options& options_;
    VerilatedContext context_;
    Top top_{&context_, "top"};
    std::vector<Port> inputs_, outputs_;
    uint64_t cycle_ = 0, lastBeat_ = 0, extra_ = 0, tlastErrors_ = 0;
    std::string error_;
    std::chrono::steady_clock::time_point started_, reported_;

    void open(Port& p, const PortConfig& c, const std::string& path, const char* mode, uint64_t salt) {
        p.config = &c;
        p.file = std::fopen(path.c_str(), mode);
        if (p.file == nullptr) usage("cannot open " + path);
        std::setvbuf(p.file, nullptr, _IOFBF, 1 << 20);
        p.bytes.assign(c.bytesPerBeat, 0);
        p.random = Random(options_.seed * 65537 + salt);
        p.total = options_.samples * c.beatsPerSample;
    }

    void fail(const std::string& message) {
        if (error_.empty()) error_ = message;
    }

    // One clock cycle: inputs settle, then the rising edge.
    void settle() {
        setClock(top_, false);
        top_.eval();
    }
    void edge() {
        setClock(top_, true);
        top_.eval();
    }

    void reset() {
        setReset(top_, true);
        for (unsigned i = 0; i < kInputCount; i++) driveInput(top_, i, inputs_[i].bytes.data(), false, false);
        for (unsigned i = 0; i < kOutputCount; i++) driveReady(top_, i, false);
        for (int i = 0; i < 16; i++) {
            settle();
            edge();
        }
        setReset(top_, false);
    }

    bool finished() const {
        for (const Port& p : inputs_)
            if (p.done < p.total) return false;
        for (const Port& p : outputs_)
            if (p.done < p.total) return false;
        return true;
    }

    // Streams all samples; false where it had to stop.
    bool stream() {
        uint64_t idle = 0;
        while (!finished()) {
            for (unsigned i = 0; i < kInputCount; i++)
                if (!offer(i)) return false;
            for (unsigned i = 0; i < kOutputCount; i++) {
                outputs_[i].active = options_.stallOut == 0 || !outputs_[i].random.below(options_.stallOut);
                driveReady(top_, i, outputs_[i].active);
            }
            settle();
            const bool moved = transfer();
            edge();
            cycle_++;
            if (!error_.empty()) return false;
            idle = moved ? 0 : idle + 1;
            if (idle >= options_.watchdog) {
                fail(waiting());
                return false;
            }
            if ((cycle_ & 0xfff) == 0) progress();
        }
        return true;
    }

    // Puts the next beat on an idle input, or holds the one that waits. False on a short file.
    bool offer(unsigned i) {
        Port& p = inputs_[i];
        if (p.active) return true;
        if (p.done == p.total || (options_.stallIn != 0 && p.random.below(options_.stallIn))) {
            driveInput(top_, i, p.bytes.data(), false, false);
            return true;
        }
        if (std::fread(p.bytes.data(), p.bytes.size(), 1, p.file) != 1) {
            fail("the file for " + std::string(p.config->name) + " ends after " + std::to_string(p.done) + " of " + std::to_string(p.total) + " beats");
            return false;
        }
        p.active = true;
        driveInput(top_, i, p.bytes.data(), true, p.inSample + 1 == p.config->beatsPerSample);
        return true;
    }

    // Beats that both sides agree on before the edge.
    bool transfer() {
        bool moved = false;
        for (unsigned i = 0; i < kInputCount; i++) {
            Port& p = inputs_[i];
            if (!p.active || !isReady(top_, i)) continue;
            p.count(cycle_);
            p.active = false;
            moved = true;
        }
        for (unsigned i = 0; i < kOutputCount; i++) {
            Port& p = outputs_[i];
            if (!p.active || !isValid(top_, i)) continue;
            moved = true;
            if (p.done == p.total) {
                extra_++;
                fail(std::string(p.config->name) + " gives more than the " + std::to_string(p.total) + " beats expected");
                continue;
            }
            readOutput(top_, i, p.bytes.data());
            checkLast(i, p);
            if (std::fwrite(p.bytes.data(), p.bytes.size(), 1, p.file) != 1) fail("cannot write the outputs of " + std::string(p.config->name));
            p.count(cycle_);
            if (!options_.cycles.empty()) p.cycles.push_back(cycle_);
            lastBeat_ = cycle_;
        }
        return moved;
    }

    void checkLast(unsigned i, const Port& p) {
        if (!p.config->hasLast || isLast(top_, i) == (p.inSample + 1 == p.config->beatsPerSample)) return;
        tlastErrors_++;
        const std::string where = " at beat " + std::to_string(p.inSample) + " of sample " + std::to_string(p.done / p.config->beatsPerSample);
        fail(std::string(p.config->name) + (isLast(top_, i) ? " raises tlast too early," : " does not raise tlast") + where);
    }

    // Nothing may come out after the last sample.
    void drain() {
        const uint64_t cycles = std::min<uint64_t>(10000, 100 + 2 * cycle_ / std::max<uint64_t>(1, options_.samples));
        for (unsigned i = 0; i < kInputCount; i++) driveInput(top_, i, inputs_[i].bytes.data(), false, false);
        for (unsigned i = 0; i < kOutputCount; i++) {
            outputs_[i].active = true;
            driveReady(top_, i, true);
        }
        for (uint64_t n = 0; n < cycles && error_.empty(); n++) {
            settle();
            transfer();
            edge();
        }
    }

    std::string waiting() {
        std::string text = "no beat at any port for " + std::to_string(options_.watchdog) + " cycles, at cycle " + std::to_string(cycle_) + ":";
        for (unsigned i = 0; i < kInputCount; i++) {
            const Port& p = inputs_[i];
            if (p.done < p.total) text += " " + std::string(p.config->name) + (p.active ? " waits for tready" : " is stalled by the test bench") + progressOf(p) + ";";
        }
        for (unsigned i = 0; i < kOutputCount; i++) {
            const Port& p = outputs_[i];
            if (p.done < p.total) text += " " + std::string(p.config->name) + (isValid(top_, i) ? " has a beat that is not taken" : " waits for tvalid") + progressOf(p) + ";";
        }
        text.pop_back();
        return text;
    }
    static std::string progressOf(const Port& p) { return " (beat " + std::to_string(p.done) + " of " + std::to_string(p.total) + ")"; }

    uint64_t samplesOut() const {
        uint64_t n = options_.samples;
        for (const Port& p : outputs_) n = std::min<uint64_t>(n, p.timing.last.size());
        return n;
    }

    void progress() {
        if (options_.quiet) return;
        const auto now = std::chrono::steady_clock::now();
        if (now - reported_ < std::chrono::milliseconds(200)) return;
        reported_ = now;
        std::fprintf(stderr, "progress %llu %llu %llu\n", (unsigned long long)cycle_, (unsigned long long)samplesOut(), (unsigned long long)options_.samples);
    }

    // First input beat and last output beat of sample k over all ports.
    uint64_t firstIn(uint64_t k) const {
        uint64_t c = UINT64_MAX;
        for (const Port& p : inputs_) c = std::min(c, p.timing.first[k]);
        return c == UINT64_MAX ? 0 : c;
    }
    uint64_t lastOut(uint64_t k) const {
        uint64_t c = 0;
        for (const Port& p : outputs_) c = std::max(c, p.timing.last[k]);
        return c;
    }

    void report() {
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
        const uint64_t n = samplesOut();
        std::vector<uint64_t> distances;
        // Without the draining of the pipeline and, where there are samples enough, without its filling.
        uint64_t full = 1;
        while (full < n && firstIn(full) <= lastOut(0)) full++;
        const uint64_t begin = 1 + std::max(n / 4, full < n - n / 4 ? full : 0);
        for (uint64_t k = begin; k < n - n / 4 || (k < n && distances.empty()); k++) distances.push_back(lastOut(k) - lastOut(k - 1));
        // Distances may alternate; whole groups of four, as the prediction takes them, and a rare odd one does not count.
        const size_t used = distances.size() < 4 ? distances.size() : distances.size() / 4 * 4;
        const double mean = used == 0 ? 0.0 : std::accumulate(distances.begin(), distances.begin() + used, 0.0) / used;
        std::sort(distances.begin(), distances.end());
        std::printf("{\"samples\": %llu, \"cycles\": %llu", (unsigned long long)n, (unsigned long long)(n > 0 ? lastBeat_ - firstIn(0) + 1 : cycle_));
        if (n > 0) std::printf(", \"latency\": %llu", (unsigned long long)(lastOut(0) - firstIn(0) + 1));
        if (!distances.empty())
            std::printf(", \"initiation_interval\": %llu, \"initiation_interval_min\": %llu, \"initiation_interval_max\": %llu", (unsigned long long)std::ceil(mean - 0.01),
                        (unsigned long long)distances.front(), (unsigned long long)distances.back());
        std::printf(", \"tlast_errors\": %llu, \"extra_beats\": %llu, \"seconds\": %.3f, \"cycles_per_second\": %.0f", (unsigned long long)tlastErrors_, (unsigned long long)extra_, seconds,
                    seconds > 0 ? cycle_ / seconds : 0.0);
        if (!error_.empty()) std::printf(", \"error\": \"%s\"", error_.c_str());
        std::printf("}\n");
    }

    void writeCycles() const {
        if (options_.cycles.empty()) return;
        std::FILE* f = std::fopen(options_.cycles.c_str(), "wb");
        if (f == nullptr) usage("cannot open " + options_.cycles);
        for (const Port& p : outputs_) std::fwrite(p.cycles.data(), sizeof(uint64_t), p.cycles.size(), f);
        if (std::fclose(f) != 0) usage("cannot write " + options_.cycles);
    }

    // One line per sample and port: port, sample, cycle of the first beat, cycle of the last beat.
    void writeTiming() const {
        if (options_.timing.empty()) return;
        std::FILE* f = std::fopen(options_.timing.c_str(), "w");
        if (f == nullptr) usage("cannot open " + options_.timing);
        std::fprintf(f, "port,sample,first_beat,last_beat\n");
        for (const auto* ports : {&inputs_, &outputs_})
            for (const Port& p : *ports)
                for (size_t k = 0; k < p.timing.last.size(); k++)
                    std::fprintf(f, "%s,%zu,%llu,%llu\n", p.config->name, k, (unsigned long long)p.timing.first[k], (unsigned long long)p.timing.last[k]);
        std::fclose(f);
    }
};

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    return Simulation(options).run();
}
