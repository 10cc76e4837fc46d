// The emotions in raw sound: ffmpeg -i recording.wav -f s16le -ar 16000 -ac 1 - | ./predict student.onnx
#include <iomanip>
#include <onnxruntime_cxx_api.h>
#include <sstream>
int main(int argc, char** argv) try {
  if (argc != 2) throw std::runtime_error("expected one model: ./predict student.onnx < sound");
  Ort::Env env;
  Ort::Session session(env.DisableTelemetryEvents(), argv[1], Ort::SessionOptions());
  Ort::AllocatorWithDefaultOptions memory;
  const auto json = session.GetModelMetadata().LookupCustomMetadataMapAllocated("ser_graph", memory);
  const std::string metadata = json ? json.get() : throw std::runtime_error("expected a file of ser-graph export");
  const auto shape = [&](int i) { return session.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape(); };
  const int64_t values = session.GetInputCount();  // 2 if the student normalises by speaker: sound and voice
  const int64_t n = shape(0)[1], sound[] = {1, n}, voice[] = {1, 3, shape(values - 1).back()};
  std::vector<int16_t> pcm(n);
  std::vector<float> window(n), unknown(3 * voice[2]);  // a voice of zeros is unknown
  Ort::Value inputs[] = {Ort::Value::CreateTensor<float>(memory.GetInfo(), window.data(), n, sound, 2),
      Ort::Value::CreateTensor<float>(memory.GetInfo(), unknown.data(), unknown.size(), voice, 3)};
  std::vector<Ort::Value> output;
  const char *given[] = {"waveform", "voice"}, *made[] = {"probabilities", "voice_after"};
  for (int64_t start = 0, got; (got = fread(pcm.data(), 2, n, stdin)); start += got) {
    for (int64_t i = 0; i < n; i++)  // a short sound is repeated; the last window of a long one ends with the sound
      window[i] = start && i + got < n ? window[i + got] : pcm[start ? i + got - n : i % got] / 32768.f;
    if (values == 2 && start && got == n) inputs[1] = std::move(output[1]);  // no sample counts twice in the voice
    output = session.Run(Ort::RunOptions(), given, inputs, values, made, values);
    std::istringstream list(metadata.substr(metadata.find("\"emotions\": ") + 12));  // ["anger", "fear"], and more
    for (auto [i, name] = std::pair(0, std::string()); list.get() != ']' && list >> std::quoted(name); i++)
      printf("%s %.6f%s", name.c_str(), output[0].GetTensorData<float>()[i], list.peek() == ']' ? "\n" : ", ");
  }
} catch (const std::exception& error) { return fprintf(stderr, "Error: %s\n", error.what()), 1; }
