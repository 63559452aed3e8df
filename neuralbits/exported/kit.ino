// Send a line over the serial port; the answer is the intent, or "?" for a text that is out of scope.

#include <example.h>

void setup() { Serial.begin(115200); }

void loop() {
  if (!Serial.available()) return;
  const String text = Serial.readStringUntil('\n');
  example_answer answer;
  const bool classified = example_classify(text.c_str(), text.length(), &answer);
  Serial.println(classified && answer.in_scope ? answer.intent : "?");
}
