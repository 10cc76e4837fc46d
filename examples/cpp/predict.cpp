// The emotions in raw sound (16 bit, mono, at the rate of the model), by a file of `ser-graph export`:
//     c++ -std=c++17 -O2 predict.cpp $(pkg-config --cflags --libs libonnxruntime) -o predict
//     ffmpeg -i recording.wav -f s16le -ar 16000 -ac 1 - | ./predict student.onnx
#include <iomanip>
#include <onnxruntime_cxx_api.h>
#include <sstream>

int main(int argc, char** argv) try {
  if (argc != 2) throw std::runtime_error("expected one model: ./predict student.onnx < sound");
  Ort::Env env;
  Ort::Session session(env.DisableTelemetryEvents(), argv[1], Ort::SessionOptions());
  Ort::AllocatorWithDefaultOptions memory;
  const auto json = session.GetModelMetadata().LookupCustomMetadataMapAllocated("ser_graph", memory);
  if (!json || session.GetInputCount() > 1) throw std::runtime_error("expected a student that needs no voice");
  const std::string metadata = json.get(), emotions = metadata.substr(metadata.find("\"emotions\": ") + 12);
  const int64_t n = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape()[1], shape[] = {1, n};
  std::vector<int16_t> pcm(n);
  std::vector<float> window(n);
  const auto input = Ort::Value::CreateTensor<float>(memory.GetInfo(), window.data(), n, shape, 2);
  const char *given = "waveform", *made = "probabilities";
  for (int64_t start = 0, got; (got = fread(pcm.data(), 2, n, stdin)); start += got) {
    for (int64_t i = 0; i < n; i++)  // a short sound is repeated; the last window of a long one ends with the sound
      window[i] = start && i + got < n ? window[i + got] : pcm[start ? i + got - n : i % got] / 32768.f;
    const auto output = session.Run(Ort::RunOptions(), &given, &input, 1, &made, 1);
    std::istringstream list(emotions);  // ["anger", "fear"]; then the other metadata, for a JSON library
    std::string name;
    for (int i = 0; list.get() != ']' && list >> std::quoted(name); i++)  // skips [ or , before each name
      printf("%s %.6f%s", name.c_str(), output[0].GetTensorData<float>()[i], list.peek() == ']' ? "\n" : ", ");
  }
} catch (const std::exception& error) { return fprintf(stderr, "Error: %s\n", error.what()), 1; }
